"""OCR: the text in an image, in reading order, by EasyOCR or RapidOCR.

    >>> make_ocr().call({"image": "image-0"}, ImageStore(["board.png"]))
    {'text': 'MENU\\nTea 3.50'}

RapidOCR's weights ship inside its wheel, so it runs offline. EasyOCR is used where its weights are on the disk already; nothing
is downloaded here. Models are loaded on the first call, once per process.
"""

import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image, ImageStat

from taco.tools.action import ToolError
from taco.tools.tool import Tool

if TYPE_CHECKING:
    import numpy as np

Engine = Literal["easyocr", "rapidocr"]
Point = tuple[float, float]

EASYOCR_LANGUAGES = ["en"]
EASYOCR_MODELS = {"craft_mlt_25k.pth": ("detection_models", "craft"), "english_g2.pth": ("recognition_models", "english_g2")}
"""Files that EasyOCR needs for EASYOCR_LANGUAGES, and where `easyocr.config` keeps their MD5 sums."""

MAX_ASPECT = 4
"""Long side over short side of an image that is given to RapidOCR. It scales the short side up to 736 pixels: a strip of 1 x 700
would become one of 736 x 515,200."""

_LEADERS = re.compile(
    r"[.·…]{4,}"  # a long run, wherever it is
    r"|(?<=\s)[.·…]+(?=\s|$)"  # dots on their own
    r"|(?<=\w)[.·]{2}$"  # the rest of a run at a text's end
    r"|^[.·…]+(?=[\s$€£¥₹])|^[.·…]{2,}(?=\d)"  # the rest of a run before a price
)
"""Dots that lead the eye from an item to its price. A sentence's end, an ellipsis and ``.50`` are none."""


@dataclass(frozen=True)
class Region:
    """A piece of text: its ``corners`` from the top left clockwise, as fractions of the image's width and height."""

    label: str
    corners: tuple[Point, Point, Point, Point]
    score: float = 1.0

    @functools.cached_property
    def bbox(self) -> list[float]:
        """``[left, top, right, bottom]``, each in 0..1, to 3 decimals."""
        xs, ys = zip(*self.corners, strict=True)
        return [round(min(1.0, max(0.0, value)), 3) for value in (min(xs), min(ys), max(xs), max(ys))]

    @functools.cached_property
    def width(self) -> float:
        (x0, _), (x1, _), (x2, _), (x3, _) = self.corners
        return (x1 - x0 + x2 - x3) / 2

    @functools.cached_property
    def height(self) -> float:
        (_, y0), (_, y1), (_, y2), (_, y3) = self.corners
        return abs(y3 - y0 + y2 - y1) / 2

    @functools.cached_property
    def centre(self) -> Point:
        return sum(x for x, _ in self.corners) / 4, sum(y for _, y in self.corners) / 4


def make_ocr(engine: Literal["auto", "easyocr", "rapidocr"] = "auto", *, threads: int | None = None) -> Tool:
    """The tool ``OCR``.

    Args:
        engine: ``auto`` is EasyOCR where its weights are on the disk, else RapidOCR. It is decided once per tool, on first use.
        threads: Of RapidOCR, whose texts may depend on it; None: OMP_NUM_THREADS where that is set, else one per core. EasyOCR
            has those of torch.
    """
    chosen = functools.cache(lambda: _choose(engine))

    def OCR(image: Image.Image, boxes: bool = False) -> dict[str, Any]:
        """Reads the text in an image, from top to bottom and left to right.

        Args:
            image: The image to read.
            boxes: Whether to return the position of each piece of text, too.

        Returns:
            text: The text, one line per visual line; empty if there is none.
            regions: With boxes only: label (the text), bbox [left, top, right, bottom] in 0..1 and score of each piece.
        """
        return observation(read(image, chosen(), threads), boxes)

    return Tool(OCR, backend=lambda: _backend(chosen()), unavailable=lambda: _unavailable(chosen()))


def read(image: Image.Image, engine: Engine, threads: int | None = None) -> list[Region]:
    """What an engine finds in an RGB image, in no particular order, without leader dots and empty texts. See `make_ocr`."""
    reader = _load(engine, os.getpid(), threads)
    with _reading:
        return [region for region in reader(image) if region.label]


def observation(regions: Sequence[Region], boxes: bool = False) -> dict[str, Any]:
    """What the tool returns for these regions. Simulated observations are made here, too."""
    lines = reading_order(regions)
    result: dict[str, Any] = {"text": "\n".join(" ".join(region.label for region in line) for line in lines)}
    if boxes:
        result["regions"] = [
            {"label": region.label, "bbox": region.bbox, "score": round(region.score, 2)} for line in lines for region in line
        ]
    return result


def reading_order(regions: Sequence[Region]) -> list[list[Region]]:
    """Regions as visual lines from top to bottom, each from left to right.

    Rows of a tilted or obliquely photographed board are followed. A region joins the line that it overlaps vertically by half of
    the lower one's height, unless it would lie under or over a member of that line.
    """
    lines = _lines(regions, _rows(regions, [_baseline(region) for region in regions]))
    # The ends of a line tell its slope better than the corners of a short text.
    ends = [(line[0].centre, line[-1].centre) for line in lines]
    return _lines(regions, _rows(regions, [_baseline(region) for region in regions] + ends))


def clean(text: str) -> str:
    """A recognized text without leader dots, and with single spaces.

    >>> clean("Tea ........ 3.50"), clean("..$29.99"), clean("No. 7 costs .50")
    ('Tea 3.50', '$29.99', 'No. 7 costs .50')
    """
    return " ".join(_LEADERS.sub(" ", text).split())


def _baseline(region: Region) -> tuple[Point, Point]:
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = region.corners
    return ((x0 + x3) / 2, (y0 + y3) / 2), ((x1 + x2) / 2, (y1 + y2) / 2)


def _rows(regions: Sequence[Region], segments: Sequence[tuple[Point, Point]]) -> list[float]:
    """The height at which each region's row crosses the middle of the image, as fitted to ``segments`` that lie along rows.

    Parallel rows seen at an angle meet in one point, so that slope = a + b * row. Long segments count more, and b is held near 0
    unless they demand it.
    """
    import numpy as np

    (x0, y0), (x1, y1) = np.array(segments, float).reshape(-1, 2, 2).transpose(1, 2, 0)
    level = np.flatnonzero(x1 - x0 > np.maximum(0.01, abs(y1 - y0)))
    if not level.size:
        return [region.centre[1] for region in regions]
    length, slope, y = (x1 - x0)[level], ((y1 - y0) / np.maximum(x1 - x0, 0.01))[level], ((y0 + y1) / 2)[level]
    order = np.argsort(slope)
    median = slope[order][np.searchsorted(np.cumsum(length[order]), length.sum() / 2)]
    trust = np.where(abs(slope - median) < 0.15, length / 0.002, 0)  # corners are off by 0.002; a sticker across is no row
    system = np.vstack([np.column_stack([np.ones_like(y), y - 0.5]) * trust[:, None], [0, 10]])
    a, b = np.linalg.lstsq(system, np.append(slope * trust, 0), rcond=None)[0]
    return [float((y - 0.5 - a * (x - 0.5)) / (1 + b * (x - 0.5)) + 0.5) for x, y in (region.centre for region in regions)]


def _lines(regions: Sequence[Region], rows: Sequence[float]) -> list[list[Region]]:
    lines: list[list[int]] = []
    for index in sorted(range(len(regions)), key=lambda index: rows[index]):
        fitting = [line for line in lines if _fits(index, line, regions, rows)]
        if fitting:
            min(fitting, key=lambda line: abs(rows[index] - fmean(rows[i] for i in line))).append(index)
        else:
            lines.append([index])
    lines.sort(key=lambda line: fmean(rows[i] for i in line))
    return [[regions[i] for i in sorted(line, key=lambda i: regions[i].centre[0])] for line in lines]


def _fits(index: int, line: list[int], regions: Sequence[Region], rows: Sequence[float]) -> bool:
    region = regions[index]
    for member in (regions[i] for i in line):
        shared = min(region.bbox[2], member.bbox[2]) - max(region.bbox[0], member.bbox[0])
        if shared > min(region.width, member.width) / 2:
            return False
    half = fmean(regions[i].height for i in line) / 2
    row = fmean(rows[i] for i in line)
    overlap = min(rows[index] + region.height / 2, row + half) - max(rows[index] - region.height / 2, row - half)
    return overlap > min(region.height, 2 * half) / 2


def _choose(engine: Literal["auto", "easyocr", "rapidocr"]) -> Engine:
    if engine != "auto":
        return engine
    return "easyocr" if importlib.util.find_spec("easyocr") and not _missing_weights() else "rapidocr"


def _backend(engine: Engine) -> str:
    try:
        version = importlib.metadata.version(engine)
    except importlib.metadata.PackageNotFoundError:
        return engine
    return f"{engine} {'.'.join(version.split('.')[:2])}"


def _unavailable(engine: Engine) -> str | None:
    if importlib.util.find_spec(engine) is None:
        return f"The package {engine} is not installed. Install it: pip install {engine}"
    missing = _missing_weights() if engine == "easyocr" else []
    if missing:
        return (
            f"EasyOCR's weights are not on the disk: {', '.join(missing)}. Put them into ~/.EasyOCR/model "
            f"(python -c 'import easyocr; easyocr.Reader([\"en\"])' downloads them), or use the engine rapidocr."
        )
    return None


def _easyocr_folder() -> Path:
    root = os.environ.get("EASYOCR_MODULE_PATH") or os.environ.get("MODULE_PATH") or "~/.EasyOCR"
    return Path(root).expanduser() / "model"


def _missing_weights() -> list[str]:
    return [name for name in EASYOCR_MODELS if not (_easyocr_folder() / name).is_file()]


_loading = threading.Lock()
_reading = threading.Lock()  # both engines keep the size of the image at hand in themselves


def _load(engine: Engine, process: int, threads: int | None) -> Callable[[Image.Image], list[Region]]:
    """The engine's reader, loaded once. A forked process loads its own: thread pools do not survive a fork."""
    with _loading:
        return _reader(engine, process, threads)


@functools.cache
def _reader(engine: Engine, process: int, threads: int | None) -> Callable[[Image.Image], list[Region]]:
    problem = _unavailable(engine)
    if problem:
        raise ToolError(problem)
    return _rapidocr_reader(threads or _threads()) if engine == "rapidocr" else _easyocr_reader()


def _rapidocr_reader(threads: int) -> Callable[[Image.Image], list[Region]]:
    import numpy as np
    from rapidocr import RapidOCR

    model = RapidOCR(
        params={
            "Global.log_level": "critical",
            # Meant for upside-down text, it turns upright text, too: 87 to 97 % of small rows exact instead of 100 %.
            "Global.use_cls": False,
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            # Texts one by one, padded to little more than their width, so that none depends on its neighbours.
            # benchmarks/ocr.py: 0.6 s instead of 0.9 s a board, and no character worse.
            "Rec.rec_img_shape": [3, 48, 64],
            "Rec.rec_batch_num": 1,
        }
    )

    def run(image: Image.Image) -> list[Region]:
        # An array is taken as BGR.
        found: Any = model(np.ascontiguousarray(np.asarray(_padded(image))[:, :, ::-1]))
        if found.boxes is None or found.txts is None:
            return []
        pieces = zip(found.boxes, found.txts, found.scores, strict=True)
        return [_region(corners, text, score, image.size) for corners, text, score in pieces]

    return run


def _padded(image: Image.Image) -> Image.Image:
    """A strip with background added on the right or below, up to MAX_ASPECT."""
    least = -(-max(image.size) // MAX_ASPECT)
    if min(image.size) >= least:
        return image
    background = ImageStat.Stat(image).median
    padded = Image.new("RGB", (max(image.width, least), max(image.height, least)), (background[0], background[1], background[2]))
    padded.paste(image)
    return padded


def _easyocr_reader() -> Callable[[Image.Image], list[Region]]:
    import easyocr
    import easyocr.config
    import numpy as np

    _verify_easyocr(easyocr.config)
    model = easyocr.Reader(
        EASYOCR_LANGUAGES, model_storage_directory=str(_easyocr_folder()), download_enabled=False, verbose=False
    )

    def run(image: Image.Image) -> list[Region]:
        pieces = model.readtext(np.ascontiguousarray(np.asarray(image)[:, :, ::-1]))  # BGR, as RapidOCR
        return [_region(corners, text, score, image.size) for corners, text, score in pieces]

    return run


def _verify_easyocr(config: Any) -> None:
    """EasyOCR unpickles its weights, and a pickle can run code: only the files that EasyOCR published are let through."""
    for name, (table, key) in EASYOCR_MODELS.items():
        models = getattr(config, table)
        expected = (models if key in models else models["gen2"])[key]["md5sum"]
        found = hashlib.md5((_easyocr_folder() / name).read_bytes(), usedforsecurity=False).hexdigest()
        if found != expected:
            raise ToolError(
                f"EasyOCR's file {name} is not the published one: its MD5 is {found}, expected {expected}. "
                "Delete it and download it again, or use the engine rapidocr."
            )


def _region(corners: "np.ndarray", text: str, score: float, size: tuple[int, int]) -> Region:
    top_left, top_right, bottom_right, bottom_left = ((float(x) / size[0], float(y) / size[1]) for x, y in corners)
    return Region(clean(text), (top_left, top_right, bottom_right, bottom_left), float(score))


def _threads() -> int:
    """OMP_NUM_THREADS where it is set (workers side by side), else the cores that this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(int(wanted), cores) if wanted.isdigit() and int(wanted) > 0 else cores
