"""A trace as one picture: everything that a person wants to see is on it."""

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from taco import Step, Task, Trace, cli
from taco.agent import Agent
from taco.models.scripted import ScriptedModel
from taco.sheet import LEADING, LONGEST, PICTURE, TEXT_WIDTH, WIDTH, _font, _rows, _wrapped, draw_sheet
from taco.tools import Action, ImageStore, Observation
from taco.trace import ToolRecord

PHOTO = Image.linear_gradient("L").resize((320, 240)).convert("RGB")
BOX = [0.1, 0.2, 0.5, 0.7]


def made(*steps: Step, answer: str | None = "yes", images: int = 1) -> Trace:
    store = ImageStore([PHOTO] * images)
    for step in steps:
        for observation in step.observations:
            for _ in observation.images:
                store.add(Image.new("RGB", (200, 100), "red"))
    task = Task(id="1", question="Which is closer?", images=tuple(f"image-{number}" for number in range(images)))
    trace = Trace(
        task=task, tools=(ToolRecord(name="Terminate", backend="taco"),), steps=steps, answer=answer, stop_reason="answered"
    )
    return trace.with_store(store)


def step(thought: str, name: str, content: dict[str, object], images: tuple[str, ...] = (), **arguments: object) -> Step:
    action = Action(name=name, arguments=arguments)
    return Step(reply="", thought=thought, actions=(action,), observations=(Observation(content=content, images=images),))


def test_texts_and_pictures_stand_beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TACO_DEPTH_MODEL", "nano")
    located = step("I look.", "LocalizeObjects", {"image": "image-1"}, ("image-1",), image="image-0", objects=["mug"])
    deep = step("How deep?", "EstimateRegionDepth", {"depth": 2.31}, image="image-0", bbox=BOX)
    ended = step("So it is.", "Terminate", {"answer": "yes"}, answer="yes")
    rows = list(_rows(made(located, deep, ended)))
    texts = [[text for text, _ in row.paragraphs] for row in rows]
    assert texts[0] == ["Which is closer?"]
    assert texts[1] == ["1.  I look.", 'LocalizeObjects(image="image-0", objects=["mug"])', '-> {"image": "image-1"}']
    assert texts[2][1:] == [f'EstimateRegionDepth(image="image-0", bbox={BOX})', '-> {"depth": 2.31}']
    assert texts[3:] == [["3.  So it is."], ["Answer: yes"]]
    assert [[caption for _, caption in row.pictures] for row in rows] == [
        ["image-0"], ["image-1"], ["depth of image-0, near is bright"], [], []
    ]  # fmt: skip
    [(map_, _)] = rows[2].pictures
    assert map_.size == PHOTO.size
    assert map_.getpixel((32, 48)) == (255, 255, 0)  # the box is drawn


def test_the_sheet_holds_all_rows() -> None:
    small = draw_sheet(made(answer=None))
    large = draw_sheet(made(step("A thought. " * 30, "Calculate", {"result": 3}, expression="1 + 2")))
    assert small.width == large.width == WIDTH
    assert large.height > small.height + 3 * LEADING
    left, right = 2 * 24 + TEXT_WIDTH, WIDTH
    photo = small.crop((left, 24, left + PICTURE[0], 24 + 240))
    assert len(set(photo.get_flattened_data())) > 100
    assert right - left >= PICTURE[0]


def test_several_images_share_a_row() -> None:
    assert len(next(iter(_rows(made(images=5)))).pictures) == 5
    assert draw_sheet(made(images=5)).height < draw_sheet(made(images=1)).height * 3


def test_a_depth_map_that_cannot_be_made_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TACO_DEPTH_MODEL", "somebody/absent")
    deep = step("How deep?", "EstimateRegionDepth", {"depth": 2.31}, image="image-0", bbox=BOX)
    assert not list(_rows(made(deep)))[1].pictures


def test_lines_fit_and_nothing_short_is_lost() -> None:
    text = "word " * 40 + "W" * 200
    lines = _wrapped(text, TEXT_WIDTH)
    assert all(_font().getlength(line) <= TEXT_WIDTH for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert "".join(_wrapped("x" * 10_000, TEXT_WIDTH)).count("x") == LONGEST
    assert _wrapped("a\nb", TEXT_WIDTH) == ["a", "b"]
    assert _wrapped("", TEXT_WIDTH) == [""]


def test_ask_draws_a_sheet_and_refuses_an_ending_before_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PHOTO.save(tmp_path / "photo.png")
    model = ScriptedModel(['{"thought": "Easy.", "actions": [{"name": "Terminate", "arguments": {"answer": "4"}}]}'])
    monkeypatch.setattr(cli, "_agent", lambda *args: Agent(model))
    runner = CliRunner()
    arguments = ["ask", str(tmp_path / "photo.png"), "How many?", "--sheet"]
    refused = runner.invoke(cli.app, [*arguments, str(tmp_path / "sheet.txt")])
    assert refused.exit_code == 2
    assert "use one of .png" in refused.output
    done = runner.invoke(cli.app, [*arguments, str(tmp_path / "sheet.png")])
    assert done.exit_code == 0, done.output
    assert Image.open(tmp_path / "sheet.png").width == WIDTH
