"""The commands ``taco-data export`` and ``taco-data import``: traces in other people's forms.

$ taco-data export data/prices --format llava --out out
$ taco-data import cota_llava.json --format llava --images cota/images --out data/cota
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from taco.console import plain_errors, progress


class FormName(StrEnum):
    parquet = "parquet"
    llava = "llava"
    mantis = "mantis"
    sharegpt = "sharegpt"
    xlam = "xlam"
    actionstudio = "actionstudio"
    agentohana = "agentohana"


FormatOption = Annotated[FormName, typer.Option("--format", help="The form; docs/formats.md says what each carries.")]
OutOption = Annotated[Path, typer.Option(help="A new folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


def export(
    folder: Annotated[Path, typer.Argument(help="A folder with traces.jsonl.")],
    form: FormatOption,
    out: OutOption,
    push: Annotated[
        Optional[str], typer.Option(help="With parquet: upload to this dataset repository of the Hugging Face hub.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Writes traces in another form: Parquet for Hugging Face, LLaVA, Mantis, ShareGPT, xLAM, ActionStudio, AgentOhana."""
    from taco.data_gen.exporting import export as run
    from taco.trace import TRACES_FILE

    with plain_errors():
        if push and form is not FormName.parquet:
            raise ValueError(f"--push uploads Parquet; with --format {form} there is nothing that the hub's viewer reads.")
        file = folder / TRACES_FILE
        with progress(file.read_bytes().count(b"\n") if file.is_file() else None, "traces") as advance:
            figures = run(folder, form.value, out, on_row=advance)
        address = None
        if push:
            from taco.data_gen.formats.hub import push as upload

            address = upload(out, push)
    if as_json:
        typer.echo(json.dumps({"out": str(out), "pushed": address, **figures.to_json()}))
        return
    typer.echo(f"{figures.rows} traces with {figures.images} images: {out}{_counts('left out', figures.left_out)}")
    if address:
        typer.echo(f"Pushed to {address}; fill in the licence in its card.")


def import_traces(
    source: Annotated[Path, typer.Argument(help="A .json, .jsonl or .parquet file, or a folder that export wrote.")],
    form: FormatOption,
    out: OutOption,
    images: Annotated[
        Optional[Path], typer.Option(help="What the image paths of the rows are relative to; the file's folder by default.")
    ] = None,
    strip: Annotated[str, typer.Option(help="What to take off the front of the rows' image paths.")] = "",
    as_json: AsJson = False,
) -> None:
    """Reads traces in another form, the released CoTA data too. Rows that cannot be used are listed in rejected.jsonl."""
    from taco.data_gen.importing import import_file

    with plain_errors(), progress(None, "rows") as advance:
        report = import_file(source, form.value, out, images=images, strip=strip, on_row=advance)
    if as_json:
        typer.echo(json.dumps({"out": str(out), **report.to_json()}))
        return
    typer.echo(f"{report.kept} of {report.rows} rows kept: {out}")
    typer.echo(f"{_counts('rejected', report.rejected)}{_counts('mended', report.mended)}".lstrip("\n") or "Nothing was amiss.")


def _counts(what: str, counts: Mapping[Any, int]) -> str:
    lines = [f"\n  {count:>7} {what}: {kind}" for kind, count in sorted(counts.items(), key=lambda item: -item[1])]
    return "".join(lines)
