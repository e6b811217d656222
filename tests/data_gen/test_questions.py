"""Sets of questions: each layout read, its faults listed or said."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image

from taco.data_gen.questions import SKIPPED_FILE, Prepared, _named, digest, prepare
from taco.tools.images import pixel_hash
from taco.trace import Task, read_tasks


def picture(number: int = 0) -> Image.Image:
    return Image.new("RGB", (8, 6), (number, 100, 200))


def png(number: int = 0) -> bytes:
    buffer = io.BytesIO()
    picture(number).save(buffer, "PNG")
    return buffer.getvalue()


def b64(number: int = 0) -> str:
    return base64.b64encode(png(number)).decode()


def file_of(number: int) -> str:
    return f"images/{pixel_hash(picture(number))}.png"


def read(source: Path, out: Path, **options: Any) -> tuple[Prepared, list[Task], list[dict[str, str]]]:
    made = prepare(source, out, **options)
    skipped = out / SKIPPED_FILE
    lines = skipped.read_text().splitlines() if skipped.exists() else []
    tasks = [
        task.model_copy(update={"images": tuple(str(Path(image).relative_to(out.absolute())) for image in task.images)})
        for task in read_tasks(out / "tasks.jsonl")
    ]
    assert made.tasks == len(tasks)
    assert made.skipped == len(lines)
    return made, tasks, [json.loads(line) for line in lines]


def jsonl(path: Path, *records: Any) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in records))
    return path


def test_jsonl(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "bad.png").write_bytes(b"no image")
    source = jsonl(
        tmp_path / "set.jsonl",
        {"id": "1", "question": "How many?", "images": ["a.png"], "answer": "3", "choices": ["2", "3"]},
        {"id": "2", "question": "2 + 2?"},
        {"id": "3", "question": "Where?", "images": ["gone.png"]},
        {"id": "4", "question": "Where?", "images": ["../a.png"]},
        {"id": "5", "question": "Where?", "images": ["bad.png"]},
        {"id": "6", "question": " "},
        {"id": "7"},
        "{broken",
    )
    _, tasks, skipped = read(source, tmp_path / "out")
    assert tasks == [
        Task(id="2", question="2 + 2?", source="set"),
        Task(id="1", question="How many?", images=(file_of(0),), answer="3", choices=("2", "3"), source="set"),
    ]
    assert [line["where"] for line in skipped] == [f"line {number}" for number in range(3, 9)]
    for line, said in zip(
        skipped, ("no file", "not a path relative", "not an image", "question is empty", "question: Field", "JSON"), strict=True
    ):
        assert said in line["reason"]


def test_tsv_of_vlmevalkit(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(png(2))
    rows = [
        "index\thint\tquestion\tA\tB\tC\tanswer\tcategory\timage\timage_path",
        f"0\tLook up.\tWhich?\tred\tblue\t\tB\tcolour\t{b64(1)}\t",
        "1\t\tWhich again?\tred\tblue\tgreen\tC\t\t0\t",
        "2\t\tOpen?\t\t\t\tyes\t\t\tb.png",
        f"3\t\tBoth?\t\t\t\tno\t\t['{b64(1)}', '{b64(2)}']\t",
        "4\t\tWhere?\t\t\t\tno\t\t99\t",
        f"5\t\tWhere?\t\t\t\tno\t\t{'?' * 80}\t",
        "6\t\tWhere?\t\t\t\tno\t\t\t",
    ]
    source = tmp_path / "bench.tsv"
    source.write_text("\n".join(rows) + "\n")
    _, tasks, skipped = read(source, tmp_path / "out")
    assert tasks == [
        Task(id="0", question="Look up.\nWhich?", images=(file_of(1),), answer="B", choices=("red", "blue"), source="colour"),
        Task(id="1", question="Which again?", images=(file_of(1),), answer="C", choices=("red", "blue", "green"), source="bench"),
        Task(id="2", question="Open?", images=(file_of(2),), answer="yes", source="bench"),
        Task(id="3", question="Both?", images=(file_of(1), file_of(2)), answer="no", source="bench"),
    ]
    assert [line["where"] for line in skipped] == ["line 6", "line 7", "line 8"]
    for line, said in zip(skipped, ("no row above has that index", "no base64", "has no image"), strict=True):
        assert said in line["reason"]


def cauldron() -> "datasets.Dataset":
    turns = [{"user": f"Question {n}?", "assistant": f"Answer: {n}", "source": "AI2D"} for n in range(5)]
    rows = [
        {"images": [{"bytes": png(1), "path": None}], "texts": turns},
        {"images": [{"bytes": png(2), "path": None}], "texts": [{"user": "Empty?", "assistant": " ", "source": "AI2D"}]},
        {"images": [{"bytes": b"none", "path": None}], "texts": turns[:1]},
    ]
    features = datasets.Features(
        {
            "images": datasets.List(datasets.Image()),
            "texts": datasets.List({name: datasets.Value("string") for name in ("user", "assistant", "source")}),
        }
    )
    return datasets.Dataset.from_list(rows, features=features)


@pytest.mark.parametrize("kind", ["saved", "parquet", "folder"])
def test_the_cauldron(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "ai2d"
    if kind == "saved":
        cauldron().save_to_disk(str(source))
    elif kind == "folder":
        cauldron().to_parquet(str(source / "train-0.parquet"))
    else:
        cauldron().to_parquet(str(source := tmp_path / "ai2d.parquet"))
    made, tasks, skipped = read(source, tmp_path / "out", per_image=3)
    assert made.not_chosen == 2
    assert len({task.id for task in tasks}) == 3
    for task in tasks:
        turn = task.id.removeprefix("ai2d-0-")
        assert task == Task(id=task.id, question=f"Question {turn}?", images=(file_of(1),), answer=turn, source="AI2D")
    assert [line["where"] for line in skipped] == ["row 1, turn 0", "row 2"]
    assert "answer is empty" in skipped[0]["reason"]
    assert "not an image" in skipped[1]["reason"]


def test_mantis_instruct_with_its_placeholders_and_paths(tmp_path: Path) -> None:
    source = tmp_path / "nlvr2"
    (source / "images").mkdir(parents=True)
    for number in (1, 2):
        (source / "images" / f"{number}.png").write_bytes(png(number))
    images = [{"bytes": None, "path": f"images/{number}.png"} for number in (1, 2)]

    def talk(*texts: str, roles: tuple[str, ...] = ("user", "assistant")) -> list[dict[str, str]]:
        return [{"role": roles[number % 2], "content": text} for number, text in enumerate(texts)]

    rows = [
        {"images": images, "conversation": talk("<image> <image> Are both red?", "No", "Which is?", "The second")},
        {"images": images, "conversation": talk("First <image>. Red?", "Yes", "<image>And this?", "No")},
        {"images": images[:1], "conversation": talk("<image> and <image>?", "No")},
        {"images": [{"bytes": None, "path": "/etc/passwd"}], "conversation": talk("What?", "No")},
        {"images": images, "conversation": talk("What?", "No", roles=("assistant", "user"))},
        {"images": images, "conversation": talk("What?")},
    ]
    datasets.Dataset.from_list(rows).to_parquet(str(source / "train.parquet"))
    _, tasks, skipped = read(source, tmp_path / "out")
    assert [(task.question, task.answer) for task in tasks] == [
        ("Are both red?", "No"),
        ("Which is?", "The second"),
        ("First image-0. Red?", "Yes"),
        ("image-1 And this?", "No"),
    ]
    assert {task.images for task in tasks} == {(file_of(1), file_of(2))}
    assert [line["where"] for line in skipped] == ["row 2, turn 0", "row 3", "row 4", "row 5"]
    for line, said in zip(skipped, ("more <image>", "not a path relative", "by assistant, user", "by user;"), strict=True):
        assert said in line["reason"]


def test_names_of_images_in_a_text() -> None:
    assert _named("<image>\nWhat?", 0, 1) == ("What?", 1)
    assert _named("What? <image>", 0, 1) == ("What? image-0", 1)
    assert _named("<image> What?", 0, 2) == ("image-0 What?", 1)
    assert _named("<image> What?", 1, 1) == ("image-1 What?", 2)
    assert _named("What?", 0, 0) == ("What?", 0)


def test_the_draw_follows_the_seed_and_takes_no_image_more_often(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(png(number // 2))  # 0 and 1 are the same pixels
    lines = [{"id": f"{n}", "question": f"{n}?", "images": [f"{n % 3}.png"]} for n in range(30)]
    source = jsonl(tmp_path / "set.jsonl", *lines)
    _, first, _ = read(source, tmp_path / "a", seed=1)
    _, again, _ = read(source, tmp_path / "b", seed=1)
    _, other, _ = read(source, tmp_path / "c", seed=2)
    assert first == again != other
    assert [sum(task.images == (file_of(n),) for task in first) for n in (0, 1)] == [3, 3]
    made, some, _ = read(source, tmp_path / "d", seed=1, limit=4)
    assert some == first[:4]
    assert (made.tasks, made.images) == (4, 2)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.jsonl", None, "There is no "),
        ("set.jsonl", "", "gives no question: it is empty"),
        ("set.jsonl", "{}\n", "none of its 1 rows can be used; line 1: id: Field required"),
        ("set.csv", "a,b\n", "of no known format"),
        ("set.tsv", "", r"has the columns \(none\)"),
        ("set.tsv", "index\tprompt\timage\n", "has the columns index, prompt, image"),
        ("set.tsv", "index\tquestion\timage\n", "it is empty"),
        ("set.jsonl", '{"id": "1", "question": "a"}\n' * 2, "line 1 and line 2 have the same id, '1'"),
    ],
)
def test_sets_that_cannot_be_used_are_said_with_what_can(tmp_path: Path, name: str, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=said):
        prepare(tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out" / "tasks.jsonl").exists()


def test_datasets_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no dataset and no \.parquet file"):
        prepare(tmp_path / "empty", tmp_path / "out")
    datasets.Dataset.from_list([{"image": 1, "label": 2}]).to_parquet(str(tmp_path / "x.parquet"))
    with pytest.raises(ValueError, match="has the columns image, label"):
        prepare(tmp_path / "x.parquet", tmp_path / "out")
    datasets.DatasetDict(train=cauldron(), test=cauldron()).save_to_disk(str(tmp_path / "splits"))
    with pytest.raises(ValueError, match=r"several splits\. Give the folder of one: .*train"):
        prepare(tmp_path / "splits", tmp_path / "out")
    assert len(read(tmp_path / "splits" / "test", tmp_path / "out")[1]) == 3


def test_a_changed_set_is_known(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    file = jsonl(tmp_path / "set" / "a.jsonl", {"id": "1"})
    before, folder = digest(file), digest(file.parent)
    jsonl(file, {"id": "12"})
    assert digest(file) != before
    assert digest(file.parent) != folder
