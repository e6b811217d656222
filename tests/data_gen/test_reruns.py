"""What a call gives again is held against its record: strictly for our own tools, in substance for imported calls."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from taco.data_gen.importing import import_file
from taco.data_gen.reruns import Outcome, compare_imported
from taco.data_gen.verification import Verdict, verify_folder
from taco.tools.action import Observation
from taco.tools.images import ImageStore
from taco.tools.regions import Crop

from .formats.cota import end, llava, made, observed, reply, request


@pytest.mark.parametrize(
    ("ours", "theirs", "outcome"),
    [
        (5, 5.0, "equal"),
        (3.33333333333, 3.3333333333333335, "equal"),
        (3600, "3,600", "equal"),
        (-5, 5, "other observation"),
        (14, 777, "other observation"),
        (8, 1, "other observation"),  # 2^3 in Python
        (3600, [1, 600], "other observation"),  # 1,200*3 in Python
        (5, True, "unclear"),
        ("x = -2 or x = 2", "x = 2 or x = -2", "equal"),
        ("x = -2 or x = 2", "x = ±2", "equal"),
        ("x = 0.5", "x = 1/2", "equal"),
        ("x = 10/3 ≈ 3.33333333333", "x≈3.33333", "equal"),
        ("x = 1500000", "x = 1.5×10^6", "equal"),
        ("x = 2, y = 1", "x = 777, y = 1", "unclear"),
        ("x = 2", "x = 777", "other observation"),
        ("x = 2", "no solution", "unclear"),
        ("no real solution (complex: x = -i or x = i)", "x = ± i", "unclear"),
    ],
)
def test_results_of_others_are_compared_by_their_numbers(ours: Any, theirs: Any, outcome: Outcome) -> None:
    one, other = Observation(content={"result": ours}), Observation(content={"result": theirs})
    assert compare_imported(other, one, ImageStore(), ImageStore()) == outcome


@pytest.fixture
def photo() -> Image.Image:
    return Image.merge("RGB", [Image.linear_gradient("L").rotate(90 * turn) for turn in range(3)])


BOX = [0.1, 0.1, 0.4, 0.6]
CROP = ("Crop", {"image": "image-0", "bbox": str(BOX)})


def verdict(folder: Path, photo: Image.Image, cut: Image.Image | None, *turns: str, answer: str = "14") -> Verdict:
    """Of a row of the released data, with its images as JPEG."""
    files = [photo] if cut is None else [photo, cut]
    for number, image in enumerate(files):
        image.save(folder / f"{number}.jpg", quality=75)
    row = llava([request("What is 2 + 12?"), *turns, end(answer)], [f"{number}.jpg" for number in range(len(files))])
    (folder / "rows.json").write_text(json.dumps([row]))
    import_file(folder / "rows.json", "llava", folder / "out")
    [found] = verify_folder(folder / "out")
    return found


def calculation(expression: str, result: Any) -> tuple[str, str]:
    return reply("I add.", ("Calculate", {"expression": expression})), observed({"result": result})


def test_imported_calls_run_again(tmp_path: Path, photo: Image.Image) -> None:
    cut = Crop.function(image=photo, bbox=BOX)["image"]
    turns = (reply("I look.", CROP), observed({"image": made(1)}), *calculation("2 + 12", 14.0))
    for name, image, sums, fault in (
        ("good", cut, turns, ""),
        ("another part", Crop.function(image=photo, bbox=[0.5, 0.5, 0.9, 0.9])["image"], turns, "other image"),
        ("false sum", cut, (*turns[:2], *calculation("2 + 12", 777)), "other observation"),
    ):
        (tmp_path / name).mkdir()
        found = verdict(tmp_path / name, photo, image, *sums)
        assert (found.fault, found.skipped.get("execution")) == (fault, None), name


def test_what_cannot_be_compared_is_skipped_and_said(tmp_path: Path, photo: Image.Image) -> None:
    python = calculation("math.fsum([2, 12])", 14.0)
    found = verdict(tmp_path, photo, None, *python)
    assert found.failed is None, found.reason
    said = found.skipped["execution"]
    assert said.startswith('Calculate was imported: {"result": 14.0} cannot be compared with what it gives here, {"error": ')
    assert "write a function alone" in said


def test_a_record_without_the_image_is_skipped(photo: Image.Image) -> None:
    here, there = ImageStore([photo, photo]), ImageStore([photo])
    cut = Observation(content={"image": "image-1"}, images=("image-1",))
    assert compare_imported(Observation(content={"result": "a crop"}), cut, there, here) == "unclear"
    assert compare_imported(Observation(error="Execution failed"), cut, there, here) == "unclear"
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=30)
    there.add(Image.open(file))
    assert compare_imported(cut, cut, there, here) == "equal"
