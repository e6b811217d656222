"""The commands ``taco-data filter``, ``mix`` and ``stats``.

$ taco-data filter data/raw --out data/clean
$ taco-data mix --preset cota+cot --source data/clean --total 1000 --out data/mix
$ taco-data stats data/mix/train
"""

import json
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from taco.console import BAD_USE, fail, plain_errors, progress

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Folder = Annotated[Path, typer.Argument(help="A folder with traces.jsonl.")]


def filter_traces(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="A new folder for what is kept; removed.jsonl in it lists the rest with reasons.")],
    skip: Annotated[
        Optional[str], typer.Option(help="Rules not to apply, separated by commas: loop, error, useless, exact, near.")
    ] = None,
    max_steps: Annotated[Optional[int], typer.Option(help="Replies of a trace.")] = None,
    max_chars: Annotated[Optional[int], typer.Option(help="Characters of question, replies and observations.")] = None,
    max_tokens: Annotated[Optional[int], typer.Option(help="The same in tokens of --tokenizer.")] = None,
    max_images: Annotated[Optional[int], typer.Option(help="Images of a trace, those that tools made included.")] = None,
    tokenizer: Annotated[Optional[Path], typer.Option(help="A tokenizer.json.")] = None,
    near_question: Annotated[
        Optional[float], typer.Option(help="Share of word pairs that near questions have in common; 0.3 by default.")
    ] = None,
    near_image: Annotated[Optional[int], typer.Option(help="Bits of 256 in which near images may differ; 24 by default.")] = None,
    action_useful: Annotated[
        bool, typer.Option("--action-useful", help="Remove sources where tools do not help, by the paper's rule.")
    ] = False,
    rejected: Annotated[
        Optional[list[Path]], typer.Option(help="A folder of traces with wrong answers, counted for --action-useful only.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Removes duplicates, loops, failed and useless calls, what is too long, and sources where tools do not help."""
    from taco.data_gen.filtering import Settings, filter_folder

    given = {
        "skip": [rule.strip() for rule in skip.split(",")] if skip else None,
        "max_steps": max_steps,
        "max_chars": max_chars,
        "max_tokens": max_tokens,
        "max_images": max_images,
        "tokenizer": tokenizer,
        "near_question": near_question,
        "near_image": near_image,
        "action_useful": action_useful,
    }
    with plain_errors():
        settings = Settings.checked({key: value for key, value in given.items() if value is not None})
        with progress(_lines(folder), "traces") as advance:
            report = filter_folder(folder, out, settings, rejected=rejected or (), on_read=advance)
    if as_json:
        typer.echo(json.dumps({"out": str(out), **report.model_dump()}))
        return
    if report.already:
        typer.echo(f"{out} was finished before; nothing was done.")
    typer.echo(f"{report.kept:,} of {report.read:,} traces kept: {out}")
    for rule, count in report.removed.items():
        typer.echo(f"  {rule:<12}{count:>8,} removed")
    for source, outcomes in report.sources.items():
        typer.echo(f"  {source}: {'action-useless' if outcomes.action_useless else 'kept'}: {outcomes}")


def mix(
    out: Annotated[Path, typer.Option(help="A new folder: train/, validation/, removed.jsonl, mix.json.")],
    recipe: Annotated[Optional[Path], typer.Argument(help="A recipe in YAML.")] = None,
    preset: Annotated[Optional[str], typer.Option(help="A packaged recipe, in place of a file: a row of the paper.")] = None,
    source: Annotated[
        Optional[list[str]],
        typer.Option(help="NAME=DIR, a folder of a source of the recipe, or DIR where it has one source. May come again."),
    ] = None,
    total: Annotated[Optional[int], typer.Option(help="Traces of the mix; the recipe's by default.")] = None,
    seed: Annotated[Optional[int], typer.Option(help="Equal seeds take equal traces.")] = None,
    validation: Annotated[
        Optional[float], typer.Option(help="Share that is kept out of training; no image is on both sides.")
    ] = None,
    against: Annotated[
        Optional[list[Path]], typer.Option(help="Evaluation tasks or traces; what shows their images or questions is removed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Mixes traces in given shares and splits them into train and validation by image."""
    from taco.data_gen.mix_recipe import presets, read_recipe
    from taco.data_gen.mixing import mix as make

    if (recipe is None) == (preset is None):
        fail(f"Give a recipe's file or --preset NAME. The presets are: {', '.join(presets())}.", BAD_USE)
    with plain_errors():
        if preset is not None and preset not in presets():
            raise ValueError(f"There is no preset {preset!r}. The presets are: {', '.join(presets())}.")
        chosen = read_recipe(preset or str(recipe), _named(source or []), total=total, seed=seed, validation=validation)
        lines = [_lines(folder) for _, folder in chosen.folders().values()]
        steps = sum(line or 0 for line in lines) + (chosen.total or 0)
        with progress(steps, "traces") as advance:
            record = make(chosen, out, against=against or (), on_step=advance)
    typer.echo(json.dumps({"out": str(out), **record}) if as_json else _mixed(record, out))


def _named(sources: list[str]) -> dict[str, list[str]]:
    """Folders by source name; "" where none is given."""
    named: dict[str, list[str]] = {}
    for item in sources:
        name, equals, folder = item.partition("=")
        named.setdefault(name if equals else "", []).append(folder if equals else item)
    return named


def _mixed(record: dict[str, Any], out: Path) -> str:
    lines = [f"{out} was finished before; nothing was done."] if record["already"] else []
    lines.append(f"{record['traces']:,} traces, {record['train']:,} train and {record['validation']:,} validation: {out}")
    for part in record["parts"]:
        made = f", {part['made_direct']:,} made from right answers" if part["made_direct"] else ""
        lines.append(f"  {part['part']:<28}{part['traces']:>8,} ({part['validation']:,} validation{made})")
    if record["renamed"]:
        lines.append(f"  {record['renamed']:,} got @source behind an id that two folders have")
    for rule, count in record["removed"].items():
        lines.append(f"  {rule:<28}{count:>8,} removed, see removed.jsonl")
    return "\n".join([*lines, f"  {'not needed':<28}{record['not_taken']:>8,}"])


def stats(
    folder: Folder,
    plot: Annotated[
        Optional[Path], typer.Option(help="A picture of it to write, for example stats.png; needs matplotlib.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Counts types, formats, tools, steps, lengths, images and rejections, and how varied the questions are."""
    from taco.data_gen.stats import plot as draw
    from taco.data_gen.stats import survey, tables

    with plain_errors():
        with progress(_lines(folder), "traces") as advance:
            found = survey(folder, advance)
        if plot is not None:
            draw(found, plot)
    if as_json:
        typer.echo(json.dumps(found.to_json()))
        return
    from rich.console import Console

    console = Console()
    for table in tables(found):
        console.print(table, "")


def _lines(folder: Path) -> int | None:
    """How many lines are to be read; None where there is nothing, which the reader says."""
    from taco.trace import TRACES_FILE

    file = folder / TRACES_FILE
    if not file.is_file():
        return None
    with file.open("rb") as lines:
        return sum(1 for line in lines if line.strip())
