"""OCR: reading order without an engine, RapidOCR on drawn boards, EasyOCR by a stand-in, and the reference's R1, R2, R14.

Run: pytest tests/tools/test_ocr.py
"""

import hashlib
import math
import os
import random
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from taco.tools import ocr
from taco.tools.action import Action
from taco.tools.images import ImageStore
from taco.tools.ocr import Region, clean, make_ocr, observation, reading_order
from taco.tools.toolbox import Toolbox

ROWS = [("MENU", ""), ("Green Tea", "$3.50"), ("Fish & Chips", "$12.25"), ("Rice", "$4.99")]
TEXT = "MENU\nGreen Tea $3.50\nFish & Chips $12.25\nRice $4.99"


def region(label: str, left: float, top: float, right: float, bottom: float, tilt: float = 0.0) -> Region:
    """A region whose corners are turned about the image's middle by ``tilt`` degrees."""
    cos, sin = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    a, b, c, d = ((0.5 + (x - 0.5) * cos - (y - 0.5) * sin, 0.5 + (x - 0.5) * sin + (y - 0.5) * cos) for x, y in corners)
    return Region(label, (a, b, c, d))


def table(tilt: float = 0.0, rows: int = 10) -> list[Region]:
    found = []
    for row in range(rows):
        top = 0.05 + row * 0.09
        found += [region(f"n{row}", 0.05, top, 0.25, top + 0.05, tilt), region(f"p{row}", 0.8, top, 0.95, top + 0.05, tilt)]
    return found


def lines(regions: list[Region]) -> list[str]:
    return [" ".join(item.label for item in line) for line in reading_order(regions)]


def draw_board(tilt: float = 0, size: int = 28) -> Image.Image:
    image = Image.new("RGB", (420, 240), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    for row, (item, price) in enumerate(ROWS):
        draw.text((30, 20 + row * 52), item, "black", font)
        draw.text((390, 20 + row * 52), price, "black", font, anchor="ra")
    return image.rotate(tilt, Image.Resampling.BICUBIC, fillcolor="white")


def run(tool: Any, image: Image.Image, **arguments: Any) -> Any:
    return Toolbox([tool]).execute(Action(name="OCR", arguments={"image": "image-0", **arguments}), ImageStore([image]))


class TestReadingOrder:
    def test_of_nothing(self) -> None:
        assert reading_order([]) == []

    @pytest.mark.parametrize("tilt", [0, 1, -2, 4, -6, 8])
    def test_rows_of_a_tilted_board(self, tilt: float) -> None:
        found = table(tilt)
        random.Random(0).shuffle(found)
        assert lines(found) == [f"n{row} p{row}" for row in range(10)]

    @pytest.mark.parametrize("strength", [-0.3, -0.15, 0.15, 0.3])
    def test_rows_seen_at_an_angle(self, strength: float) -> None:
        def seen(x: float, y: float) -> tuple[float, float]:
            depth = 1 + strength * x
            return x / depth, (y - 0.5) / depth + 0.5

        found = [Region(item.label, tuple(seen(x, y) for x, y in item.corners)) for item in table()]  # type: ignore[arg-type]
        random.Random(1).shuffle(found)
        assert lines(found) == [f"n{row} p{row}" for row in range(10)]

    def test_corners_that_tell_too_little_of_the_slope(self) -> None:
        # As RapidOCR found them on a board seen at an angle: x and y of the centre, and the slope of each text.
        names = [
            (0.22, 0.18, 0.015),
            (0.24, 0.247, 0.012),
            (0.14, 0.321, 0.0),
            (0.12, 0.391, 0.0),
            (0.12, 0.462, 0.0),
            (0.15, 0.534, 0.028),
            (0.11, 0.607, 0.051),
            (0.13, 0.681, 0.029),
            (0.155, 0.76, 0.06),
            (0.16, 0.837, 0.063),
        ]
        prices = [
            (0.88, 0.158, 0.0),
            (0.88, 0.235, 0.03),
            (0.88, 0.314, 0.035),
            (0.87, 0.392, 0.045),
            (0.87, 0.473, 0.035),
            (0.87, 0.554, 0.039),
            (0.86, 0.637, 0.039),
            (0.87, 0.722, 0.028),
            (0.86, 0.808, 0.052),
            (0.85, 0.893, 0.048),
        ]

        def placed(label: str, x: float, y: float, slope: float) -> Region:
            rise = 0.07 * slope
            a, b, c, d = (
                (x - 0.07, y - 0.028 - rise),
                (x + 0.07, y - 0.028 + rise),
                (x + 0.07, y + 0.028 + rise),
                (x - 0.07, y + 0.028 - rise),
            )
            return Region(label, (a, b, c, d))

        found = [placed(f"n{row}", *at) for row, at in enumerate(names)] + [
            placed(f"p{row}", *at) for row, at in enumerate(prices)
        ]
        assert lines(found) == [f"n{row} p{row}" for row in range(10)]

    def test_does_not_depend_on_the_order_given(self) -> None:
        found = table(3)
        for seed in range(5):
            random.Random(seed).shuffle(found)
            assert lines(found) == [f"n{row} p{row}" for row in range(10)]

    def test_small_text_beside_large(self) -> None:
        assert lines([region("kg", 0.5, 0.13, 0.56, 0.17), region("3.50", 0.2, 0.05, 0.45, 0.2)]) == ["3.50 kg"]

    def test_two_lines_beside_a_tall_one_stay_apart(self) -> None:
        found = [region("SALE", 0.05, 0.1, 0.3, 0.3), region("Tea", 0.5, 0.12, 0.7, 0.19), region("Rice", 0.5, 0.2, 0.7, 0.27)]
        assert len(lines(found)) == 2
        assert lines(found)[1] == "Rice"

    def test_stacked_lines_that_nearly_touch(self) -> None:
        found = [region("a", 0.1, 0.1, 0.5, 0.16), region("b", 0.1, 0.15, 0.5, 0.21), region("c", 0.1, 0.2, 0.5, 0.26)]
        assert lines(found) == ["a", "b", "c"]

    def test_a_slanted_sticker_does_not_turn_the_rows(self) -> None:
        found = lines([*table(), region("NEW", 0.35, 0.4, 0.7, 0.46, 40)])
        assert sum("n" in line and "p" in line for line in found) == 10

    def test_upright_column_of_text(self) -> None:
        assert lines([region("tall", 0.1, 0.1, 0.14, 0.9)]) == ["tall"]

    @given(st.lists(st.tuples(*[st.floats(0, 1, width=16)] * 4), max_size=12))
    def test_any_boxes_are_kept_once_each(self, boxes: list[tuple[float, float, float, float]]) -> None:
        found = [region(str(i), min(a, c), min(b, d), max(a, c), max(b, d)) for i, (a, b, c, d) in enumerate(boxes)]
        ordered = reading_order(found)
        assert sorted(item.label for line in ordered for item in line) == sorted(item.label for item in found)


class TestObservation:
    def test_text_only(self) -> None:
        assert observation([region("3.50", 0.8, 0.1, 0.9, 0.2), region("Tea", 0.1, 0.1, 0.3, 0.2)]) == {"text": "Tea 3.50"}

    def test_boxes_on_request(self) -> None:
        piece = Region("Tea", ((-0.01, 0.1), (0.33333, 0.1), (0.33333, 0.2), (-0.01, 0.2)), 0.98765)
        assert observation([piece], boxes=True) == {
            "text": "Tea",
            "regions": [{"label": "Tea", "bbox": [0.0, 0.1, 0.333, 0.2], "score": 0.99}],
        }

    def test_no_text(self) -> None:
        assert observation([]) == {"text": ""}
        assert observation([], boxes=True) == {"text": "", "regions": []}

    @pytest.mark.parametrize(
        ("raw", "cleaned"),
        [
            ("Tea ........ 3.50", "Tea 3.50"),
            ("Tea....3.50", "Tea 3.50"),
            ("Tea...... $3", "Tea $3"),
            ("Bagel ..", "Bagel"),
            ("Bagel..", "Bagel"),
            ("..$29.99", "$29.99"),
            (".$2.50", "$2.50"),
            ("...... 4", "4"),
            ("........", ""),
            ("Tea ······ 3", "Tea 3"),
            ("  a   b ", "a b"),
        ],
    )
    def test_leader_dots_go(self, raw: str, cleaned: str) -> None:
        assert clean(raw) == cleaned

    @pytest.mark.parametrize(
        "text",
        ["No. 7 costs .50", "Loading...", "...and then", "wait... what", "Mr.", "3.50.", ".gitignore", "a.b..c", "e.g. 1.2.3"],
    )
    def test_other_dots_stay(self, text: str) -> None:
        assert clean(text) == text


class TestRapidOcr:
    def test_r2_reads_a_board_without_a_key_or_a_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        assert run(make_ocr("rapidocr"), draw_board()).content == {"text": TEXT}

    @pytest.mark.parametrize("tilt", [-5, 4])
    def test_reads_a_tilted_board(self, tilt: float) -> None:
        assert run(make_ocr("rapidocr"), draw_board(tilt)).content == {"text": TEXT}

    def test_boxes_lie_on_the_text(self) -> None:
        image = draw_board()
        regions = run(make_ocr("rapidocr"), image, boxes=True).content["regions"]
        assert [piece["label"] for piece in regions] == [text for row in ROWS for text in row if text]
        for piece in regions:
            left, top, right, bottom = (round(side * length) for side, length in zip(piece["bbox"], image.size * 2, strict=True))
            ink = image.crop((left, top, right, bottom)).convert("L").point(lambda value: 255 * (value < 128)).getbbox()
            assert ink is not None
            assert ink[2] - ink[0] > (right - left) * 0.7
            assert 0.8 < piece["score"] <= 1

    def test_colours_reach_the_engine_as_bgr(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[np.ndarray] = []

        class Engine:
            boxes = txts = scores = None

            def __init__(self, params: dict[str, Any]) -> None: ...

            def __call__(self, pixels: np.ndarray) -> "Engine":
                seen.append(pixels)
                return self

        monkeypatch.setattr("rapidocr.RapidOCR", Engine)
        assert ocr._rapidocr_reader(1)(Image.new("RGB", (8, 8), (255, 128, 0))) == []
        assert seen[0][0, 0].tolist() == [0, 128, 255]

    @pytest.mark.parametrize("size", [(1, 1), (1, 700), (900, 2), (5000, 20), (3, 3)])
    def test_odd_sizes_are_read_as_empty(self, size: tuple[int, int]) -> None:
        assert run(make_ocr("rapidocr"), Image.new("RGB", size, "white")).content == {"text": ""}

    @pytest.mark.parametrize("size", [(1, 700), (5000, 20), (300, 2000), (640, 480)])
    def test_strips_are_padded_before_the_engine_scales_them_up(self, size: tuple[int, int]) -> None:
        padded = ocr._padded(Image.new("RGB", size, (10, 20, 30)))
        assert max(padded.size) == max(size)
        assert max(padded.size) <= ocr.MAX_ASPECT * min(padded.size)
        assert padded.getextrema() == ((10, 10), (20, 20), (30, 30))

    def test_reads_a_strip(self) -> None:
        row = draw_board().crop((0, 66, 420, 112))
        assert run(make_ocr("rapidocr"), row).content == {"text": "Green Tea $3.50"}

    def test_r14_is_loaded_once_on_the_first_call_even_by_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loads: list[int] = []

        def load(threads: int) -> Any:
            loads.append(1)
            time.sleep(0.05)  # long enough for the other threads to come
            return lambda image: [region("Tea", 0.1, 0.1, 0.5, 0.2)]

        monkeypatch.setattr(ocr, "_rapidocr_reader", load)
        ocr._reader.cache_clear()
        tools = [make_ocr("rapidocr"), make_ocr("rapidocr")]
        for tool in tools:
            tool.schema(), tool.backend, tool.unavailable()
        assert loads == []
        threads = [threading.Thread(target=run, args=(tool, Image.new("RGB", (9, 9)))) for tool in tools * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert loads == [1]
        ocr._reader.cache_clear()

    def test_same_image_same_bytes(self) -> None:
        first, second = (run(make_ocr("rapidocr"), draw_board(2), boxes=True).to_json() for _ in range(2))
        assert first == second

    def test_importing_the_toolbox_loads_no_engine(self) -> None:
        code = (
            "import sys; from taco.tools import default_toolbox; default_toolbox().schemas();"
            "print([name for name in ('rapidocr', 'easyocr', 'onnxruntime', 'cv2', 'torch') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"

    def test_says_nothing_on_the_console(self) -> None:
        code = (
            "from PIL import Image; from taco.tools.ocr import make_ocr; from taco.tools import ImageStore;"
            "make_ocr('rapidocr').call({'image': 'image-0'}, ImageStore([Image.new('RGB', (50, 50))]))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == ("", "")

    def test_backend_names_engine_and_version(self) -> None:
        from importlib.metadata import version

        major, minor = version("rapidocr").split(".")[:2]
        assert make_ocr("rapidocr").backend == f"rapidocr {major}.{minor}"

    @pytest.mark.parametrize(("wanted", "threads"), [("1", 1), ("2", 2), ("", 4), ("x", 4), ("0", 4), ("9999", 4)])
    def test_threads(self, wanted: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)
        monkeypatch.setenv("OMP_NUM_THREADS", wanted)
        assert ocr._threads() == threads

    @pytest.mark.parametrize(("wanted", "threads"), [(1, 1), (None, 2)])
    def test_a_tools_own_threads_win_over_the_environment(
        self, wanted: int | None, threads: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import rapidocr

        given: list[dict[str, Any]] = []

        def stand_in(params: dict[str, Any]) -> Any:
            given.append(params)
            return lambda image: types.SimpleNamespace(boxes=None, txts=None)

        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        monkeypatch.setattr(rapidocr, "RapidOCR", stand_in)
        ocr._reader.cache_clear()
        run(make_ocr("rapidocr", threads=wanted), Image.new("RGB", (9, 9)))
        ocr._reader.cache_clear()
        assert [params["EngineConfig.onnxruntime.intra_op_num_threads"] for params in given] == [threads]


FILES = {"craft_mlt_25k.pth": b"detector", "english_g2.pth": b"recognizer"}


@pytest.fixture
def easyocr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A stand-in for the package with its documented shapes, and weights on the disk whose MD5 sums it knows."""
    (tmp_path / "model").mkdir()
    for name, data in FILES.items():
        (tmp_path / "model" / name).write_bytes(data)
    sums = {name: hashlib.md5(data).hexdigest() for name, data in FILES.items()}

    class Reader:
        made: ClassVar[list[dict[str, Any]]]

        def __init__(self, languages: list[str], **options: Any) -> None:
            self.made.append({"languages": languages, **options})

        def readtext(self, image: Any) -> list[Any]:
            assert isinstance(image, np.ndarray)  # R1: a BytesIO raises
            assert (image.dtype, image.shape, image.flags["C_CONTIGUOUS"]) == (np.uint8, (100, 200, 3), True)
            assert image[0, 0].tolist() == [0, 128, 255]
            return [
                ([[160, 10], [190, 10], [190, 30], [160, 30]], "3.50", 0.91),
                ([[np.int32(10), np.int32(10)], [60, 10], [60, 30], [10, 30]], "Tea .....", np.float64(0.987)),
            ]

    Reader.made = []
    package, config = types.ModuleType("easyocr"), types.ModuleType("easyocr.config")
    package.Reader, package.config = Reader, config  # type: ignore[attr-defined]
    config.detection_models = {"craft": {"md5sum": sums["craft_mlt_25k.pth"]}}  # type: ignore[attr-defined]
    config.recognition_models = {"gen1": {}, "gen2": {"english_g2": {"md5sum": sums["english_g2.pth"]}}}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "easyocr", package)
    monkeypatch.setitem(sys.modules, "easyocr.config", config)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setenv("EASYOCR_MODULE_PATH", str(tmp_path))
    ocr._reader.cache_clear()
    yield package
    ocr._reader.cache_clear()


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASYOCR_MODULE_PATH", str(tmp_path / "nowhere"))


class TestEasyOcr:
    IMAGE = Image.new("RGB", (200, 100), (255, 128, 0))

    def test_r1_reads(self, easyocr: Any) -> None:
        content = run(make_ocr("easyocr"), self.IMAGE, boxes=True).content
        assert content == {
            "text": "Tea 3.50",
            "regions": [
                {"label": "Tea", "bbox": [0.05, 0.1, 0.3, 0.3], "score": 0.99},
                {"label": "3.50", "bbox": [0.8, 0.1, 0.95, 0.3], "score": 0.91},
            ],
        }

    def test_is_chosen_where_its_weights_are(self, easyocr: Any) -> None:
        assert make_ocr().backend.startswith("easyocr")
        run(make_ocr(), self.IMAGE)
        run(make_ocr(), self.IMAGE)
        assert len(easyocr.Reader.made) == 1  # R14

    def test_never_downloads(self, easyocr: Any, tmp_path: Path) -> None:
        run(make_ocr("easyocr"), self.IMAGE)
        made = easyocr.Reader.made[-1]
        assert (made["download_enabled"], made["model_storage_directory"]) == (False, str(tmp_path / "model"))

    @pytest.mark.parametrize("name", FILES)
    def test_changed_weights_are_not_unpickled(self, easyocr: Any, name: str, tmp_path: Path) -> None:
        (tmp_path / "model" / name).write_bytes(b"a pickle that runs code")
        before = len(easyocr.Reader.made)
        error = run(make_ocr("easyocr"), self.IMAGE).error
        assert f"EasyOCR's file {name} is not the published one" in error
        assert str(tmp_path) not in error
        assert len(easyocr.Reader.made) == before

    def test_the_real_package_still_keeps_its_sums_there(self) -> None:
        config = pytest.importorskip("easyocr.config")
        for name, (table_name, key) in ocr.EASYOCR_MODELS.items():
            models = getattr(config, table_name)
            model = (models if key in models else models["gen2"])[key]
            assert (model["filename"], len(model["md5sum"])) == (name, 32)


class TestAvailability:
    @pytest.mark.usefixtures("no_weights")
    def test_auto_is_rapidocr_without_easyocrs_weights(self) -> None:
        assert make_ocr().backend.startswith("rapidocr")
        assert make_ocr().unavailable() is None

    @pytest.mark.usefixtures("no_weights")
    def test_easyocr_without_weights_says_what_to_do(self) -> None:
        problem = make_ocr("easyocr").unavailable()
        assert problem is not None
        assert "craft_mlt_25k.pth, english_g2.pth" in problem
        assert "~/.EasyOCR/model" in problem
        assert run(make_ocr("easyocr"), Image.new("RGB", (9, 9))).error == problem

    @pytest.mark.usefixtures("no_weights")
    def test_without_any_engine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        assert make_ocr().unavailable() == "The package rapidocr is not installed. Install it: pip install rapidocr"
