"""Mixing: shares, splits by image, contamination, and folders that are whole or not there."""

import io
import itertools
import json
import random
import runpy
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
import yaml
from PIL import Image
from typer.testing import CliRunner

from taco.data_gen.apportioning import apportioned, assign, most
from taco.data_gen.cli_select import mix as mix_command
from taco.data_gen.mix_recipe import PRESETS, MixRecipe, Part, presets, read_recipe
from taco.data_gen.mixing import mix
from taco.data_gen.selection import direct, kind
from taco.trace import Trace, read_traces

make = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "making_traces.py")))
CALLS: dict[str, dict[str, Any]] = {"cota": {}, "cot": {"calls": []}, "direct": {"calls": [], "tools": "Terminate"}}


def folder_of(path: Path, first_image: int = 0, **counts: int) -> Path:
    """So many traces of each format, two of each image."""
    numbers = itertools.count(2 * first_image)
    for format, count in counts.items():
        for number in itertools.islice(numbers, count):
            trace = make.trace(f"{format}-{number}", f"How much is {number}?", [number // 2], source=f"menus/{number % 3}")
            make.save(path, trace if format == "cota" else _as(format, trace))
    return path


def _as(format: str, trace: Trace) -> Trace:
    task = trace.task
    made: Trace = make.trace(task.id, task.question, [trace.store["image-0"]], source=task.source, **CALLS[format])
    return made


def recipe_of(sources: dict[str, Path | list[Path]], *parts: dict[str, Any], **settings: Any) -> MixRecipe:
    folders = {name: [str(one) for one in (path if isinstance(path, list) else [path])] for name, path in sources.items()}
    return MixRecipe(sources=folders, parts=tuple(Part(**part) for part in parts), **settings)


def both(out: Path) -> list[Trace]:
    sides = [out / side for side in ("train", "validation") if (out / side).exists()]
    return [trace for side in sides for trace in read_traces(side)]


def removed(out: Path) -> dict[str, str]:
    lines = (out / "removed.jsonl").read_text().splitlines()
    return {record["id"]: record["rule"] for record in map(json.loads, lines)}


def test_shares_become_whole_numbers() -> None:
    assert apportioned(10, [1, 1, 1]) == [4, 3, 3]
    assert apportioned(580, [293, 287]) == [293, 287]
    assert sum(apportioned(997, [0.1, 0.2, 0.7])) == 997


def test_pools_that_overlap_are_shared_out_as_well_as_can_be() -> None:
    rng = random.Random(0)
    for _ in range(300):
        parts = range(rng.randint(1, 4))
        sets = [pool for size in range(1, len(parts) + 1) for pool in itertools.combinations(parts, size)]
        pools = {pool: rng.randrange(5) for pool in rng.sample(sets, min(len(sets), 4))}
        wanted = [rng.randrange(6) for _ in parts]
        # Hall: it can be done if no set of parts wants more than all pools that fit one of them hold.
        possible = all(
            sum(wanted[part] for part in some) <= sum(n for pool, n in pools.items() if set(pool) & set(some)) for some in sets
        )
        made = assign(pools, wanted)
        assert bool(made.short) is not possible
        if possible:
            given = Counter(dict.fromkeys(parts, 0))
            for pool, counts in made.taken.items():
                assert sum(counts.values()) <= pools[pool]
                assert set(counts) <= set(pool)
                given.update(counts)
            assert [given[part] for part in parts] == wanted
        else:
            want = sum(wanted[part] for part in made.short)
            assert want > sum(n for pool, n in pools.items() if set(pool) & set(made.short))


def test_the_most_that_can_be_made() -> None:
    assert most({(0,): 10, (1,): 3}, [2, 1]) == 10  # 7 and 3
    assert most({(0,): 10}, [2, 1]) == 1
    assert most({(0, 1): 9}, [2, 1]) == 9


def test_formats_in_their_shares(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "a", cota=30, cot=20, direct=20)
    parts = [{"source": "model", "format": name, "share": share} for name, share in (("cota", 5), ("cot", 3), ("direct", 2))]
    record = mix(recipe_of({"model": source}, *parts, total=40), tmp_path / "out")
    assert Counter(kind(trace) for trace in both(tmp_path / "out")) == {"cota": 20, "cot": 12, "direct": 8}
    assert record["formats"] == {"cot": 12, "cota": 20, "direct": 8}
    assert [part["made_direct"] for part in record["parts"]] == [0, 0, 0]
    assert record["not_taken"] == 30
    kinds = [kind(trace) for trace in read_traces(tmp_path / "out" / "train")]
    assert len(list(itertools.groupby(kinds))) > 10  # shuffled, not part after part
    assert record["train"] + record["validation"] == 40
    assert json.loads((tmp_path / "out" / "mix.json").read_text())["parts"] == record["parts"]
    for trace in both(tmp_path / "out"):
        assert trace.store["image-0"].size == (96, 96)


def test_direct_ones_are_made_from_right_answers_of_traces_that_are_not_taken(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "a", cota=20)
    make.trace("no answer", "How much is it?", [90], gold=None).save(source)
    recipe = read_recipe("cota+direct", {"": [str(source)]}, total=20, validation=0)
    record = mix(recipe, tmp_path / "out")
    traces = both(tmp_path / "out")
    assert len({trace.task.question for trace in traces}) == 20
    assert [part["made_direct"] for part in record["parts"]] == [0, 9]
    made = [trace for trace in traces if kind(trace) == "direct"]
    assert len(made) == 9
    for trace in made:
        assert trace.answer == trace.task.answer
        assert len(trace.steps) == 1
        assert json.loads(trace.steps[0].reply)["actions"] == [{"name": "Terminate", "arguments": {"answer": "3.50"}}]
    with pytest.raises(ValueError, match="no right answer"):
        direct(make.trace("a", "?", gold=None))


def test_a_share_that_cannot_be_met_is_named_with_the_most_that_can(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "a", cota=30, cot=6)
    recipe = read_recipe("cota+cot", {"model": [str(source)]}, total=30)
    sentence = r"share of cot of model .*: 15 of 30 traces are wanted, 6 can be taken\. .* at most 13 can be made"
    with pytest.raises(ValueError, match=sentence):
        mix(recipe, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))
    most_of_it = mix(read_recipe("cota+cot", {"model": [str(source)]}, total=13), tmp_path / "out")
    assert most_of_it["formats"] == {"cot": 6, "cota": 7}
    with pytest.raises(ValueError, match="leave out the part"):
        mix(recipe_of({"m": source}, {"source": "m", "format": "direct", "match": "no*", "share": 1}), tmp_path / "none")


def test_patterns_caps_and_the_most(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "a", cota=30)
    parts = [
        {"source": "m", "match": "menus/0", "share": 1, "cap_per_source": 4},
        {"source": "m", "exclude": ["menus/0"], "share": 2},
    ]
    record = mix(recipe_of({"m": source}, *parts, validation=0), tmp_path / "out")
    assert [part["sources"] for part in record["parts"]] == [{"menus/0": 4}, {"menus/1": 5, "menus/2": 4}]  # 13: 4.3 and 8.7
    one = mix(recipe_of({"m": source}, {"source": "m", "share": 1, "cap_per_image": 1}, validation=0), tmp_path / "one")
    assert one["traces"] == 15


def test_no_image_is_on_both_sides(tmp_path: Path) -> None:
    """Images that connect others, over several traces, take all of them to one side."""
    rng = random.Random(3)
    pairs = [(3 * n + rng.randrange(3), 3 * n + rng.randrange(3)) for n in range(20) for _ in range(3)]
    traces = [make.trace(f"{n}", f"How much is {n}?", images) for n, images in enumerate(pairs)]
    source = make.save(tmp_path / "a", *traces, make.trace("text", "How much is 1 + 1?", []))
    record = mix(recipe_of({"m": source}, {"source": "m", "share": 1}, validation=0.2), tmp_path / "out")
    sides = [{image.sha256 for trace in read_traces(tmp_path / "out" / side) for image in trace.images.values()} for side in
             ("train", "validation")]  # fmt: skip
    assert not sides[0] & sides[1]
    assert record["validation"] == 12  # of 61
    for side, shas in zip(("train", "validation"), sides, strict=True):
        assert {path.stem for path in (tmp_path / "out" / side / "images").iterdir()} == shas


def test_traces_that_all_share_an_image_cannot_be_split(tmp_path: Path) -> None:
    source = make.save(tmp_path / "a", *(make.trace(f"{n}", f"How much is {n}?", [0, n]) for n in range(8)))
    with pytest.raises(ValueError, match=r"the fewest that share no image with the others are 8 of 8"):
        mix(recipe_of({"m": source}, {"source": "m", "share": 1}), tmp_path / "out")
    assert mix(recipe_of({"m": source}, {"source": "m", "share": 1}, validation=0), tmp_path / "out")["train"] == 8
    assert not (tmp_path / "out" / "validation").exists()


def test_equal_seeds_give_equal_bytes_whatever_the_order_of_lines(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "a", cota=30)
    lines = (source / "traces.jsonl").read_text().splitlines(keepends=True)
    shutil.copytree(source, tmp_path / "b")
    (tmp_path / "b" / "traces.jsonl").write_text("\n" + "".join(reversed(lines)))

    def made(folder: Path, seed: int, out: str) -> dict[str, bytes]:
        mix(recipe_of({"m": folder}, {"source": "m", "share": 1}, total=12, seed=seed), tmp_path / out)
        found = make.contents(tmp_path / out)
        found.pop("mix.json")  # has the hash of the source's file
        return found

    first = made(source, 1, "1")
    assert first == made(tmp_path / "b", 1, "2")
    assert first != made(source, 2, "3")


def test_what_shows_the_evaluation_is_removed(tmp_path: Path) -> None:
    file = io.BytesIO()
    make.picture(1).resize((80, 80)).save(file, "JPEG", quality=60)
    near = Image.open(file).convert("RGB")
    cropped = make.picture(2).crop((1, 1, 93, 93))
    test = make.save(
        tmp_path / "test",
        make.trace("t0", "What does tea cost?", [0]),
        make.trace("t1", "What does cake cost?", [1]),
        make.trace("t2", "What does milk cost?", [2]),
        make.trace("t3", "What is 6 * 7?", []),
    )
    tool_image = make.trace("tool image", "What is in the corner?", [7, 0])
    tool_image = tool_image.model_copy(update={"task": tool_image.task.model_copy(update={"images": tool_image.task.images[:1]})})
    for image in (7, 0):
        (tmp_path / "a" / "images").mkdir(parents=True, exist_ok=True)
        make.picture(image).save(tmp_path / "a" / tool_image.images[f"image-{(7, 0).index(image)}"].file)
    (tmp_path / "a" / "traces.jsonl").write_text(tool_image.to_json() + "\n")
    source = make.save(
        tmp_path / "a",
        make.trace("same image", "What colour is it?", [5, 0]),
        make.trace("near image", "What colour is it?", [near]),
        make.trace("same question", "Please, what does the milk cost?", [cropped]),
        make.trace("text", "What is 6*7?", []),
        make.trace("other image", "What does tea cost?", [6]),
        make.trace("other question", "What is 6 * 8?", []),
    )
    recipe = recipe_of({"m": source}, {"source": "m", "share": 1}, validation=0)
    record = mix(recipe, tmp_path / "out", against=[test])
    assert {trace.task.id for trace in both(tmp_path / "out")} == {"other image", "other question"}
    assert removed(tmp_path / "out") == dict.fromkeys(
        ("tool image", "same image", "near image", "same question", "text"), "contaminated"
    )
    assert record["removed"] == {"contaminated": 5}
    tasks = [trace.task.model_dump_json() for trace in read_traces(test)]
    (test / "tasks.jsonl").write_text("\n".join(tasks) + "\n")
    for number, path in enumerate((test, test / "tasks.jsonl")):
        mix(recipe, tmp_path / f"tasks {number}", against=[path])
        assert removed(tmp_path / f"tasks {number}") == removed(tmp_path / "out")
    with pytest.raises(ValueError, match="holds neither"):
        mix(recipe, tmp_path / "no", against=[tmp_path])


def test_what_cannot_be_taken_is_listed(tmp_path: Path) -> None:
    traces = [make.trace(name, f"How much is {name}?", [n]) for n, name in enumerate("abcd")]
    source = make.save(
        tmp_path / "a",
        *traces,
        make.trace("a", "How much is the last?"),
        make.trace("twin", "How much is d?", [3]),
        make.trace("c", "How much is c?", [2], calls=[]),
    )
    (source / traces[1].images["image-0"].file).unlink()
    with (source / "traces.jsonl").open("a") as file:
        file.write("{\n" + traces[2].to_json().replace("taco-trace-1", "taco-trace-0") + "\n")
    record = mix(recipe_of({"m": source}, {"source": "m", "share": 1}, validation=0), tmp_path / "out")
    assert record["removed"] == {"duplicate id": 1, "exact": 1, "image": 1, "superseded": 1, "unreadable": 2}
    listed = [json.loads(line) for line in (tmp_path / "out" / "removed.jsonl").read_text().splitlines()]
    assert {record["folder"] for record in listed} == {"m"}
    assert sorted(record["line"] for record in listed if record["rule"] == "unreadable") == [8, 9]
    assert [record["line"] for record in listed if record["rule"] in ("duplicate id", "superseded")] == [1, 3]
    questions = {trace.task.question for trace in both(tmp_path / "out")}
    assert questions == {"How much is c?", "How much is d?", "How much is the last?"}


def test_an_id_that_two_folders_have_becomes_two(tmp_path: Path) -> None:
    one, two = folder_of(tmp_path / "a", cota=4), folder_of(tmp_path / "b", first_image=10, cota=2)
    make.trace("cota-0", "How much is another?", [40]).save(two)
    record = mix(recipe_of({"m": [one, two]}, {"source": "m", "share": 1}, validation=0), tmp_path / "out")
    ids = sorted(trace.task.id for trace in both(tmp_path / "out"))
    assert ids == ["cota-0@m.1", "cota-0@m.2", "cota-1", "cota-2", "cota-20", "cota-21", "cota-3"]
    assert record["renamed"] == 2
    assert record["parts"][0]["folders"] == {"m.1": 4, "m.2": 3}


def test_a_killed_mix_gives_the_same_bytes_when_it_is_made_again(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "a", cota=20)
    recipe = recipe_of({"m": source}, {"source": "m", "share": 1}, total=10)
    mix(recipe, tmp_path / "whole")
    done = itertools.count()

    def interrupt() -> None:
        if next(done) == 25:
            assert (tmp_path / ".out.part" / "train" / "traces.jsonl").exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mix(recipe, tmp_path / "out", on_step=interrupt)
    assert not (tmp_path / "out").exists()
    (tmp_path / ".out.part" / "train").mkdir(parents=True)  # what kill -9 leaves
    (tmp_path / ".out.part" / "train" / "traces.jsonl").write_text("{")
    assert mix(recipe, tmp_path / "out")["already"] is False
    assert make.contents(tmp_path / "out") == make.contents(tmp_path / "whole")
    assert mix(recipe, tmp_path / "out")["already"] is True


def test_the_presets_are_the_papers_rows() -> None:
    sizes = {name: yaml.safe_load((PRESETS / f"{name}.yaml").read_text()) for name in presets()}
    assert {name: values["total"] // 1000 for name, values in sizes.items()} == {
        "action-useful": 566, "cota": 293, "cota+cot": 580, "cota+cot+direct": 815, "cota+direct": 528, "cota+p-cota-147k": 440,
        "cota+p-cota-293k": 586, "cota+p-cota-29k": 322, "cota+p-cota-73k": 366, "p-cota": 293,
    }  # fmt: skip
    for name, values in sizes.items():
        folders = {part["source"]: ["x"] for part in values["parts"]}
        recipe = read_recipe(name, folders)
        if name != "action-useful":
            assert recipe.total == 1000 * sum(part.share for part in recipe.parts)


def test_the_command(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(mix_command)

    def call(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        return result.exit_code, result.output

    source, program = folder_of(tmp_path / "a", cota=20), folder_of(tmp_path / "b", first_image=20, cota=20)
    preset = ("--preset", "cota+p-cota-147k", "--source", f"model={source}", "--source", f"program={program}", "--total", 15)
    code, said = call(*preset, "--out", tmp_path / "out")
    assert code == 0
    assert "15 traces, 14 train and 1 validation" in said
    assert "cota of program" in said
    code, said = call(*preset, "--out", tmp_path / "out", "--json")
    record = json.loads(said)
    assert record["already"] is True
    assert [part["traces"] for part in record["parts"]] == [10, 5]
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"parts: [{{source: m, share: 1}}]\nsources: {{m: {source}}}\nvalidation: 0.1\n")
    assert call(recipe, "--out", tmp_path / "mine")[0] == 0
    wrong, empty = tmp_path / "wrong.yaml", tmp_path / "empty"
    empty.mkdir()
    (empty / "traces.jsonl").touch()
    for arguments, text, sentence in (
        ((), "", "Give a recipe's file or --preset"),
        (("--preset", "cota", recipe), "", "Give a recipe's file or --preset"),
        (("--preset", "none"), "", "There is no preset 'none'. The presets are: action-useful"),
        (("--preset", "cota"), "", "the source 'model' has no folder: give --source model=DIR"),
        (("--preset", "cota", "--source", f"other={source}", "--source", f"model={source}"), "", "no part takes from"),
        (
            ("--preset", "cota", "--source", f"other={source}"),
            "",
            "no part takes from the source 'other'; the parts take from model",
        ),
        (("--preset", "cota", "--source", empty), "", "traces.jsonl is empty. Give a folder with traces."),
        (("--preset", "cota+p-cota-29k", "--source", source), "", "say which folder is which"),
        (("--preset", "cota", "--source", tmp_path / "nowhere"), "", "There is no file"),
        ((*preset, "--seed", 5), "out", "seed was 0, now 5"),
        ((tmp_path / "nowhere.yaml",), "", "There is no file"),
        ((wrong,), "[1]", "holds list"),
        ((wrong,), "a: [", "cannot be read as YAML"),
        ((wrong,), "parts: [{source: m, share: 0}]", "parts.0.share: "),
        ((wrong,), "parts: [{source: m, shares: 1}]", "'parts.0.shares' is no setting"),
        ((wrong,), "sources: {m: x}", "'parts' is missing"),
    ):
        wrong.write_text(text)
        code, said = call(*arguments, "--out", tmp_path / (text if text == "out" else "new"))
        assert code == 2, arguments
        assert sentence in said.replace("\n", " ")
        assert not (tmp_path / "new").exists()
