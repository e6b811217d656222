"""The pipeline: what is made depends on seed and recipe alone."""

import dataclasses
import itertools
import re
from pathlib import Path

import pytest

from taco.data_gen import pipeline
from taco.data_gen.families import FAMILIES, Split
from taco.data_gen.observations import Simulated
from taco.data_gen.ocr_errors import OcrErrors
from taco.data_gen.pipeline import Recipe, Rejected, candidates, stream_traces
from taco.trace import Trace

N = 10
RECIPE = Recipe(seed=8, max_items=3)
UNREADABLE = OcrErrors.load().model_copy(update={"missed_price": 0.5, "severity": (1.0,)})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_stream_is_the_same_each_time_and_its_parts_make_up_the_whole() -> None:
    def lines(start: int, step: int, count: int) -> list[str]:
        stream = stream_traces(Recipe(seed=4, max_items=3), start=start, step=step)
        return [trace.to_json() for trace in itertools.islice(stream, count)]

    whole = lines(0, 1, 12)
    assert whole == lines(0, 1, 12)
    assert set(whole[:6]) <= {*lines(0, 2, 8), *lines(1, 2, 8)}


def test_other_seeds_and_splits_give_other_traces() -> None:
    def first(seed: int, split: Split) -> str:
        return next(stream_traces(Recipe(seed=seed, split=split, max_items=2))).model_dump_json(exclude={"task": {"id"}})

    assert len({first(1, "train"), first(2, "train"), first(1, "test")}) == 3


def test_chance_is_the_same_on_every_machine_and_differs_by_purpose() -> None:
    draws = {purpose: pipeline.rng_for(RECIPE, 3, purpose).getrandbits(32) for purpose in ("scene", "questions", "observations")}
    assert draws["scene"] == 2785812836  # a changed derivation would change every folder that was begun
    assert len(set(draws.values())) == 3


def test_direct_traces_have_one_step_with_the_annotated_answer() -> None:
    made = candidates(dataclasses.replace(RECIPE, direct=True, questions_per_scene=12), 0, Simulated(UNREADABLE))
    assert len(made.traces) == len(made.tasks) > 6
    for trace in made.traces:
        assert [action.name for step in trace.steps for action in step.actions] == ["Terminate"]
        assert trace.answer == trace.task.answer
        assert [tool.name for tool in trace.tools] == ["Terminate"]


def test_plain_traces_answer_the_same_questions_in_one_way_each() -> None:
    def first_steps(plain: bool) -> tuple[list[str], set[str]]:
        recipe = Recipe(family="objects", seed=3, types=("closer_object",), plain=plain)
        traces = list(itertools.islice(stream_traces(recipe), 14))
        calls = {f"{trace.steps[0].thought.split(' the ')[0]}: {trace.steps[0].actions[0].name}" for trace in traces}
        return [trace.task.question for trace in traces], calls

    questions, ways = first_steps(plain=True)
    named = "Asked: closer object. I need"
    assert ways <= {f"{named}: EstimateObjectDepth", f"{named} to know which objects there are.: GetObjects"}
    assert len({question.split(":")[0] for question in questions}) > 8
    _, varied = first_steps(plain=False)
    assert len(varied) > 4
    assert not any("Asked" in way for way in varied)


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_traces_are_the_same_each_time_and_ask_what_others_do(family: str) -> None:
    def made(plain: bool) -> pipeline.Candidates:
        return candidates(Recipe(family=family, seed=9, questions_per_scene=60, plain=plain), 2, Simulated())

    once, again, varied = made(True), made(True), made(False)
    assert [trace.to_json() for trace in once.traces] == [trace.to_json() for trace in again.traces]
    assert once.tasks == varied.tasks
    assert once.traces
    assert all(trace.steps[0].thought.startswith("Asked: ") for trace in once.traces)


def test_direct_traces_are_not_plain() -> None:
    with pytest.raises(ValueError, match="choose one of them"):
        Recipe(direct=True, plain=True)


def plain_traces(family: str, *types: str) -> list[Trace]:
    return list(itertools.islice(stream_traces(Recipe(family=family, seed=31, types=types, plain=True)), 12))


def test_only_is_said_of_an_image_where_all_were_seen() -> None:
    early, late = 0, 0
    for trace in plain_traces("sets", "image_with_object", "image_without_object"):
        seen = {action.arguments["image"] for step in trace.steps[:-1] for action in step.actions}
        if len(seen) < len(trace.task.images):
            early += 1
            assert "only" not in trace.steps[-1].thought.lower()
        else:
            late += 1
    assert early > 2
    assert late > 2


def told(counted: list[int]) -> dict[str, str]:
    """What a thought says of the numbers in the images so far."""
    *before, last = counted
    best = counted.index(max(counted))
    compared = f"{'More' if last > max(before) else 'Not more'} than {max(before)}. " if before else ""
    return {
        "image_with_most": f"{compared}Most so far: image-{best}, {counted[best]}.",
        "total_over_images": f"So far: {sum(counted[:-1])} + {counted[-1]} = {sum(counted)}."
        if counted[1:]
        else f"So far: {counted[0]}.",
        "number_of_images_with_object": f"Images so far: {sum(map(bool, counted))}.",
    }


@pytest.mark.parametrize("name", ["image_with_most", "total_over_images", "number_of_images_with_object"])
def test_every_thought_says_what_was_counted_so_far(name: str) -> None:
    for trace in plain_traces("sets", name):
        counted: list[int] = []
        for step in trace.steps[1:]:
            [number] = re.findall(r"there (?:is|are) (no|\d+) ", step.thought)
            counted.append(int(number.replace("no", "0")))
            assert told(counted)[name] in step.thought
        assert len(counted) == len(trace.task.images)


MEASURED = {
    "closer_object": lambda content: [content["depth"]] if "depth" in content else [],
    "farther_object": lambda content: [content["depth"]] if "depth" in content else [],
    "leftmost_object": lambda content: [region["bbox"][0] for region in content.get("regions", [])],
    "bottommost_object": lambda content: [region["bbox"][3] for region in content.get("regions", [])],
    "largest_object": lambda content: [content["result"]] if "result" in content else [],
}


@pytest.mark.parametrize("name", MEASURED)
def test_what_was_measured_is_told_with_its_object_and_compared_by_the_calculator(name: str) -> None:
    for trace in plain_traces("objects", name):
        last = trace.steps[-2]
        expression = last.actions[0].arguments["expression"]
        function, numbers = expression[:3], expression[4:-1].split(", ")
        measured = [str(value) for step in trace.steps[:-2] for value in MEASURED[name](step.observations[0].content or {})]
        assert len(numbers) > 1
        assert set(numbers) <= set(measured)  # an object that was found twice counts once
        assert re.findall(r"([\d.]+) [a-z]", last.thought)[-1] == numbers[-1]
        best = min(numbers, key=float) if function == "min" else max(numbers, key=float)
        assert f": {best} {trace.answer}" in trace.steps[-1].thought


def test_simulated_observations_are_marked() -> None:
    [trace] = itertools.islice(stream_traces(Recipe(types=("price_of",), max_items=2)), 1)
    assert {tool.name: tool.backend for tool in trace.tools}["OCR"].startswith("simulated rapidocr")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"types": ("price_off",)}, "no question type price_off; there are: price_of"),
        ({"types": ()}, "none given"),
        ({"min_items": 5}, "min_items <= max_items"),
        ({"questions_per_scene": 0}, "at least 1"),
    ],
)
def test_a_senseless_recipe_is_refused_at_once(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(RECIPE, **changes)  # type: ignore[arg-type]


def test_questions_of_a_scene_are_of_different_types() -> None:
    made = candidates(dataclasses.replace(RECIPE, max_items=8), 1, Simulated(UNREADABLE))
    assert len(made.tasks) == 4 == len({task.source for task in made.tasks})
    assert all(isinstance(outcome, Trace | Rejected) for outcome in made.outcomes)
