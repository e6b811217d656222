"""The command ``taco-data annotate``.

$ taco-data annotate coco instances_val2017.json --images val2017 --out data/photos
"""

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from taco.console import plain_errors, progress

if TYPE_CHECKING:
    from taco.data_gen.annotations import Report


class FormName(StrEnum):
    coco = "coco"
    visual_genome = "visual-genome"
    reference = "reference"


def annotate(
    form: Annotated[FormName, typer.Argument(help="Of the JSON; reference: what the TACO reference's annotators write.")],
    file: Annotated[Path, typer.Argument(help="The JSON; of Visual Genome objects.json or scene_graphs.json.")],
    images: Annotated[Path, typer.Option(help="The folder of images.")],
    out: Annotated[Path, typer.Option(help="The folder. The same command goes on where it was interrupted.")],
    attributes: Annotated[Optional[Path], typer.Option(help="Visual Genome's attributes.json.")] = None,
    relationships: Annotated[Optional[Path], typer.Option(help="Visual Genome's relationships.json.")] = None,
    depth: Annotated[
        Optional[Path], typer.Option(help="The folder of depth arrays (.npy, .npz, 8- or 16-bit .png); larger is nearer.")
    ] = None,
    masks: Annotated[Optional[Path], typer.Option(help="The folder of the reference's masks, to average depth over.")] = None,
    estimate_depth: Annotated[
        bool, typer.Option("--estimate-depth", help="Where there is no array, make it with the depth tool's model.")
    ] = False,
    exhaustive: Annotated[
        Optional[bool],
        typer.Option(
            "--exhaustive/--not-exhaustive", help="Whether all objects of the names are annotated; of coco yes, else no."
        ),
    ] = None,
    min_score: Annotated[float, typer.Option(min=0, max=1, help="Drop objects of the reference below this score.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
) -> None:
    """Brings annotated images (COCO, Visual Genome, the reference's form) into a folder that questions can be asked about."""
    from taco.data_gen.annotating import Source, annotate

    with plain_errors(), progress(None, "images") as advance:
        source = Source(
            form=form.value,
            file=file,
            images=images,
            attributes=attributes,
            relationships=relationships,
            depth=depth,
            masks=masks,
            estimate_depth=estimate_depth,
            exhaustive=exhaustive,
            min_score=min_score,
        )
        report = annotate(source, out, on_done=advance)
    typer.echo(json.dumps({"out": str(out), **asdict(report)}) if as_json else _summary(report, out))


def _summary(report: "Report", out: Path) -> str:
    lines = [
        f"{report.images} images with {report.objects} objects and {report.relations} relations: {out}",
        f"  {report.exhaustive} exhaustive, {report.with_depth} with depth",
    ]
    for part, reasons in report.rejected.items():
        lines += [f"  rejected  {part:<11}{count:>8}  {reason}" for reason, count in reasons.items()]
    if report.rejected:
        lines.append(f"Each of them is in {out / 'rejected.jsonl'}. To try again with other files, choose a new folder.")
    return "\n".join(lines)
