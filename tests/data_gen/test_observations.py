"""Simulated OCR looks like the real tool, errs by its table, and the table is what the fit finds."""

import random
from collections.abc import Callable

import pytest
from PIL import Image

from taco.data_gen import ocr_fitting
from taco.data_gen.observations import Real, Simulated
from taco.data_gen.ocr_errors import FILE, OcrErrors, rows_of
from taco.data_gen.scenes.scene import Item, PriceScene, Scene, TextLine
from taco.tools import ocr
from taco.tools.action import Action
from taco.tools.images import ImageStore
from taco.tools.ocr import Region
from taco.tools.toolbox import Toolbox

FAULTLESS = OcrErrors(
    engine="none 1.0", missed_price=0, missed_text=0, broken_row=0, merged_rows=0, glued=0, dropped_space={}, characters={},
    severity=(1,),
)  # fmt: skip


def make_scene(count: int = 4) -> PriceScene:
    """Rows "Green tea 0 ... 3.50" below a title, without pixels."""
    names = [f"Green {'abcdefgh'[index] * 4}" for index in range(count)]
    lines = [TextLine(text="Menu", bbox=(0.4, 0.02, 0.6, 0.08))]
    items = []
    for index, name in enumerate(names):
        top = 0.1 + 0.1 * index
        lines.append(TextLine(text=name, bbox=(0.1, top, 0.5, top + 0.06)))
        lines.append(TextLine(text=f"${index}.50", bbox=(0.8, top, 0.9, top + 0.06)))
        items.append(Item(name=name, price=f"{index}.50", price_text=f"${index}.50", bbox=(0.1, top, 0.9, top + 0.06)))
    return PriceScene(
        layout="board", font="x", width=400, height=400, currency="$", items=tuple(items), background="red", highlighted=None,
        title="Menu", lines=tuple(lines),
    )  # fmt: skip


SCENE = make_scene()
TEXT = "Menu\nGreen aaaa $0.50\nGreen bbbb $1.50\nGreen cccc $2.50\nGreen dddd $3.50"


def read(**rates: object) -> str:
    return FAULTLESS.model_copy(update=rates).read(SCENE, random.Random(0))


def test_without_errors_the_text_is_the_scene_row_by_row() -> None:
    assert read() == TEXT


@pytest.mark.parametrize(
    ("rates", "text"),
    [
        ({"missed_price": 1.0}, "Menu\nGreen aaaa\nGreen bbbb\nGreen cccc\nGreen dddd"),
        ({"missed_text": 1.0}, "$0.50\n$1.50\n$2.50\n$3.50"),
        ({"broken_row": 1.0}, TEXT.replace(" $", "\n$")),
        ({"merged_rows": 1.0}, TEXT.replace("\n", " ")),
        ({"glued": 1.0}, TEXT.replace(" $", "$")),
        ({"dropped_space": {"": 1.0}}, TEXT.replace("Green ", "Green")),
        ({"characters": {"$": {"S": 1.0}, ".": {"": 1.0}}}, TEXT.replace("$", "S").replace(".", "")),
        ({"characters": {"": {"?": 1.0}, **{c: {} for c in "GreMnu "}}}, None),
        ({"missed_text": 1.0, "severity": (0.0,)}, TEXT),
    ],
)
def test_each_rate_does_what_it_says(rates: dict[str, object], text: str | None) -> None:
    found = read(**rates)
    assert found == text if text else set("abcd$0123.5").isdisjoint(found)


def test_rates_hold_on_average() -> None:
    errors = FAULTLESS.model_copy(update={"missed_price": 0.2, "severity": (0.5, 1.5)})
    rng = random.Random(1)
    prices = sum(errors.read(SCENE, rng).count("$") for _ in range(500))
    assert 0.17 < 1 - prices / 2000 < 0.23


def test_the_fit_finds_what_was_planted() -> None:
    rng = random.Random(2)

    def regions(scene: PriceScene) -> list[Region]:
        found = []
        for line in scene.lines:
            if line.text.startswith("$") and rng.random() < 0.1:
                continue
            label = "".join("S" if character == "$" and rng.random() < 0.3 else character for character in line.text)
            left, top, right, bottom = line.bbox
            found.append(Region(label, ((left, top), (right, top), (right, bottom), (left, bottom))))
        return found

    readings = [(SCENE, regions(SCENE)) for _ in range(400)]
    errors = ocr_fitting.fit(readings, "x 1", {"family": "prices", "split": "train", "seed": 2})
    assert errors.missed_price == pytest.approx(0.1, abs=0.02)
    assert errors.characters["$"] == {"S": pytest.approx(0.3, abs=0.03)}
    assert errors.missed_text == errors.broken_row == errors.merged_rows == errors.glued == 0
    assert not any(errors.dropped_space.values())
    assert all(not row for character, row in errors.characters.items() if character not in "$")
    assert sum(errors.severity) / len(errors.severity) == pytest.approx(1, abs=0.01)
    assert errors.sample
    assert errors.sample.scenes == 400


def test_the_measures_tell_texts_apart() -> None:
    exact = ocr_fitting.measures([(SCENE, TEXT)])
    assert (exact["exact_rows"], exact["exact_scenes"], exact["character_error_rate"], exact["lines_per_row"]) == (1, 1, 0, 1)
    worse = ocr_fitting.measures([(SCENE, TEXT.replace("Green aaaa $0", "Gren aaaa $8"))])
    assert worse["exact_rows"] == 0.8
    assert worse["character_error_rate"] == round(2 / len(TEXT), 4)
    assert ocr_fitting.edit_distance("kitten", "sitting") == 3


def test_the_packaged_rates_were_fitted_to_the_engine() -> None:
    errors = OcrErrors.load(FILE)
    assert errors.engine.startswith("rapidocr ")
    assert errors.sample is not None
    assert errors.sample.scenes >= 200
    assert errors.sample.split == "train"


def test_a_simulated_ocr_looks_like_the_real_one() -> None:
    real, simulated = Toolbox(Real().tools), Toolbox(Simulated().tools)
    assert real.schemas() == simulated.schemas()
    assert simulated["OCR"].backend == f"simulated {OcrErrors.load().engine}"
    assert simulated["OCR"].backend == f"simulated {real['OCR'].backend}"


@pytest.mark.parametrize("wanted", ["4", None])
def test_real_texts_do_not_depend_on_the_environment(wanted: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def reader(count: int) -> Callable[[Image.Image], list[Region]]:
        threads.append(count)
        return lambda image: []

    monkeypatch.setattr(ocr, "_rapidocr_reader", reader)
    if wanted:
        monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    else:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    ocr._reader.cache_clear()
    Toolbox(Real().tools).execute(Action(name="OCR", arguments={"image": "image-0"}), ImageStore([Image.new("RGB", (9, 9))]))
    ocr._reader.cache_clear()
    assert threads == [1]


def test_a_simulated_ocr_reads_the_scene_with_and_without_boxes() -> None:
    image = Image.new("RGB", (400, 400))
    toolbox = Simulated(FAULTLESS).look(Scene((image,), SCENE), ["OCR"], random.Random(0))
    arguments = {"image": "image-0"}
    assert toolbox.execute(Action(name="OCR", arguments=arguments), ImageStore([image])).content == {"text": TEXT}
    boxed = toolbox.execute(Action(name="OCR", arguments={**arguments, "boxes": True}), ImageStore([image])).content or {}
    assert boxed["text"] == TEXT
    assert [region["bbox"] for region in boxed["regions"]] == [[round(side, 3) for side in line.bbox] for line in SCENE.lines]


def test_rows_follow_the_items_also_where_the_board_is_tilted() -> None:
    def sunk(line: TextLine) -> TextLine:
        left, top, right, bottom = line.bbox
        return TextLine(text=line.text, bbox=(left, top + 0.1 * left, right, bottom + 0.1 * left))

    scene = SCENE.model_copy(update={"lines": tuple(map(sunk, SCENE.lines))})
    assert [" ".join(piece.text for piece in row) for row in rows_of(scene)] == TEXT.split("\n")
