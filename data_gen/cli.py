"""The command ``taco-data``.

$ taco-data generate --family prices --n 1000 --seed 1 --observations simulated --workers 2 --out data/prices
"""

import itertools
import json
import random
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from taco.console import check_picture, plain_errors, progress
from taco.data_gen.cli_annotate import annotate
from taco.data_gen.cli_exchange import export, import_traces
from taco.data_gen.cli_select import filter_traces, mix, stats
from taco.data_gen.cli_teach import teach
from taco.data_gen.cli_verify import verify

if TYPE_CHECKING:
    from pydantic import BaseModel

    from taco.data_gen.generation import Report

app = typer.Typer(
    name="taco-data",
    help="Makes, verifies, filters and mixes traces.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


class SplitName(StrEnum):
    train = "train"
    test = "test"


class ObservationsName(StrEnum):
    real = "real"
    simulated = "simulated"


class EngineName(StrEnum):
    local = "local"
    ray = "ray"


FAMILIES = ("prices", "tables", "charts", "equations", "signs", "objects", "sets")
"""Those of `taco.data_gen.families`, which takes too long to import for a help text."""


Family = Annotated[str, typer.Option(help=f"The kind of scenes: {', '.join(FAMILIES)}.")]
Scenes = Annotated[Optional[Path], typer.Option(help="A folder of annotated images (see annotate) in place of drawn ones.")]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal bytes.")]
SplitOption = Annotated[SplitName, typer.Option(help="test: names, layouts and fonts that train never has.")]
RatesFile = Annotated[Optional[Path], typer.Option(help="Where to write the rates; the package's own file by default.")]
OnlyCompare = Annotated[bool, typer.Option("--compare", help="Compare the rates that are there; write nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


@app.callback()
def main() -> None:
    pass


@app.command(no_args_is_help=True)
def generate(
    n: Annotated[int, typer.Option("--n", min=1, help="Traces (tasks with --tasks-only) that the folder shall hold.")],
    out: Annotated[Path, typer.Option(help="The folder. The same command goes on where it was interrupted.")],
    family: Family = "prices",
    seed: Seed = 0,
    observations: Annotated[
        ObservationsName, typer.Option(help="real: the tools run on the images. simulated: OCR from the annotation, fast.")
    ] = ObservationsName.simulated,
    split: SplitOption = SplitName.train,
    workers: Annotated[int, typer.Option(min=1, help="Processes; they do not change what is made.")] = 1,
    direct: Annotated[bool, typer.Option("--direct", help="One Terminate step with the right answer, no tools.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="One way and one wording for each type, for small models.")] = False,
    types: Annotated[Optional[str], typer.Option(help="Question types, separated by commas; all by default.")] = None,
    tasks_only: Annotated[
        bool, typer.Option("--tasks-only", help="Tasks for evaluation, unfiltered, with the scenes' annotations.")
    ] = False,
    min_items: Annotated[int, typer.Option(help="Fewest items of a scene; by default the family's own.")] = 0,
    max_items: Annotated[int, typer.Option(help="Most items of a scene; by default as many as the family can have.")] = 0,
    questions_per_scene: Annotated[int, typer.Option(help="At most so many, of different types.")] = 4,
    multiple_choice: Annotated[float, typer.Option(help="Share of questions that come with options.")] = 0.0,
    scenes: Scenes = None,
    engine: Annotated[EngineName, typer.Option(help="ray: on a Ray cluster.")] = EngineName.local,
    as_json: AsJson = False,
) -> None:
    """Makes traces: scenes, questions about them, and the steps to the answer."""
    from taco.data_gen.generation import generate as generate_folder
    from taco.data_gen.pipeline import Recipe

    with plain_errors():
        recipe = Recipe(
            family=family,
            split=split.value,
            seed=seed,
            observations=observations.value,
            min_items=min_items,
            max_items=max_items,
            types=tuple(name.strip() for name in types.split(",")) if types else None,
            direct=direct,
            plain=plain,
            questions_per_scene=questions_per_scene,
            multiple_choice=multiple_choice,
            scenes=str(scenes or ""),
            tasks_only=tasks_only,
        )
        with progress(n, "tasks" if tasks_only else "traces") as advance:
            result = generate_folder(recipe, n, out, workers=workers, engine=engine.value, on_kept=advance)
    typer.echo(json.dumps({"out": str(out), **result.to_json()}) if as_json else _summary(result, out))


def _summary(result: "Report", out: Path) -> str:
    data = result.to_json()
    lines = [f"{data['kept']} kept, {data['rejected']} rejected, from {data['scenes']} scenes: {out}"]
    for source in sorted({*result.kept, *result.rejected}):
        reasons = result.rejected.get(source, {})
        why = "; ".join(f"{count} {reason}" for reason, count in reasons.items())
        lines.append(f"  {source:<28}{result.kept.get(source, 0):>6} kept {sum(reasons.values()):>5} rejected  {why}".rstrip())
    return "\n".join(lines)


@app.command(no_args_is_help=True)
def preview(
    out: Annotated[Path, typer.Option(help="The picture to write, such as sheet.png.")],
    family: Family = "prices",
    n: Annotated[int, typer.Option("--n", min=1, max=64, help="Scenes.")] = 12,
    seed: Seed = 0,
    split: SplitOption = SplitName.train,
    boxes: Annotated[bool, typer.Option("--boxes", help="Outline texts and items.")] = False,
    scenes: Scenes = None,
) -> None:
    """Draws a contact sheet of scenes, and prints their questions."""
    from taco.data_gen.pipeline import Recipe, ask_scene, numbers
    from taco.data_gen.scenes.scene import contact_sheet

    with plain_errors():
        check_picture(out)
        recipe = Recipe(family=family, split=split.value, seed=seed, scenes=str(scenes or ""))
        asked = [ask_scene(recipe, number) for number in itertools.islice(numbers(recipe), n)]
        sheet = contact_sheet([scene for scene, _ in asked], boxes=boxes)
        out.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(out)
    for number, (_, questions) in enumerate(asked):
        for question in questions:
            typer.echo(f"{number:>3}  {question.type:<16} {question.text}  ->  {question.answer}")


@app.command("fit-ocr")
def fit_ocr(
    n: Annotated[int, typer.Option("--n", min=1, help="Scenes to read.")] = 200,
    seed: Seed = 1000,
    split: SplitOption = SplitName.train,
    out: RatesFile = None,
    only_compare: OnlyCompare = False,
) -> None:
    """Fits the error model of simulated OCR to the real engine, and shows how close the two are."""
    from taco.data_gen import ocr_fitting
    from taco.data_gen.observations import ENGINE, THREADS
    from taco.data_gen.ocr_errors import FILE, OcrErrors
    from taco.data_gen.pipeline import Recipe, ask_scene
    from taco.tools.ocr import make_ocr, observation, read

    with plain_errors():
        recipe = Recipe(split=split.value, seed=seed)
        readings: list[tuple[Any, Any]] = []
        for number in range(n):
            scene, _ = ask_scene(recipe, number)
            readings.append((scene.annotation, read(scene.image, ENGINE, THREADS)))
        if only_compare:
            errors = OcrErrors.load()
        else:
            sample = {"family": recipe.family, "split": recipe.split, "seed": seed}
            errors = ocr_fitting.fit(readings, make_ocr(ENGINE).backend, sample)
            _write_rates(errors, out or FILE)
        texts = [(annotation, observation(regions)["text"]) for annotation, regions in readings]
        typer.echo(json.dumps(ocr_fitting.compare(texts, errors, random.Random(seed)), indent=1))


@app.command("fit-perception")
def fit_perception(
    n: Annotated[int, typer.Option("--n", min=1, help="Scenes to look at.")] = 500,
    seed: Seed = 1000,
    split: SplitOption = SplitName.train,
    out: RatesFile = None,
    only_compare: OnlyCompare = False,
) -> None:
    """Fits the error model of simulated detection and depth to the embedded network, and shows how close the two are."""
    from taco.data_gen import perception_fitting
    from taco.data_gen.perception_errors import FILE, PerceptionErrors
    from taco.data_gen.scenes import objects
    from taco.tools import perception

    with plain_errors():
        readings = perception_fitting.Readings()
        with progress(n, "scenes") as advance:
            for number in range(n):
                readings.add(objects.render(random.Random(f"fit/{seed}/{number}"), split=split.value))
                advance()
        if only_compare:
            errors = PerceptionErrors.load()
        else:
            errors = perception_fitting.fit(readings, perception.backend(), split.value, seed)
            _write_rates(errors, out or FILE)
        typer.echo(json.dumps(perception_fitting.compare(readings, errors, random.Random(seed)), indent=1))


def _write_rates(errors: "BaseModel", file: Path) -> None:
    file.write_text(json.dumps(errors.model_dump(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


for name, command in (
    ("annotate", annotate),
    ("teach", teach),
    ("verify", verify),
    ("filter", filter_traces),
    ("mix", mix),
    ("stats", stats),
    ("export", export),
    ("import", import_traces),
):
    app.command(name, no_args_is_help=True)(command)
