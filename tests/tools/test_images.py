"""What may be opened as an image, what is refused and how it is said; the store and its hashes.

Run: pytest tests/tools/test_images.py
"""

import contextlib
import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from taco.tools.action import ToolError
from taco.tools.images import MAX_PIXELS, ImageError, ImageStore, open_image, pixel_hash

PHOTO = Image.fromarray(np.arange(24 * 16 * 3, dtype="uint8").reshape(16, 24, 3))
"""24 wide, 16 high; no two neighbouring pixels are equal."""


def encode(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises that many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


FRAMES: dict[str, Any] = {"save_all": True, "append_images": [Image.new("RGB", (24, 16), "red")]}


class TestRefused:
    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match=r"There is no file .*cat\.png"):
            open_image(tmp_path / "cat.png")

    def test_directory(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match="is a directory"):
            open_image(tmp_path)

    @pytest.mark.skipif(not os.path.exists("/dev/null"), reason="needs a device file")
    def test_device(self) -> None:
        # A never-ending one would fill the memory.
        with pytest.raises(ImageError, match="not a regular file"):
            open_image("/dev/null")

    def test_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "empty.png").touch()
        with pytest.raises(ImageError, match="not an image of a known format"):
            open_image(tmp_path / "empty.png")

    @pytest.mark.parametrize(
        "data", [b"", b"hello", b"%PDF-1.4", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF-3.0"]
    )
    def test_other_formats(self, data: bytes) -> None:
        with pytest.raises(ImageError, match=r"known format \(PNG, JPEG"):
            open_image(data)

    @pytest.mark.parametrize("file_format", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM"])
    def test_truncated(self, file_format: str) -> None:
        data = encode(PHOTO, file_format)
        with pytest.raises(ImageError):
            open_image(data[: len(data) // 2])

    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    @pytest.mark.parametrize("side", [7_100, 10_000, 60_000])
    def test_huge_is_refused_by_its_header(self, side: int) -> None:
        # The data behind the header is empty: had it been decoded, the sentence would be another.
        with pytest.raises(ImageError, match=f"limit.* {MAX_PIXELS:,}. Scale it down"):
            open_image(png_header(side, side))

    @pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
    def test_animated_or_many_pages(self, file_format: str) -> None:
        with pytest.raises(ImageError, match="animated or has 2 pages"):
            open_image(encode(PHOTO, file_format, **FRAMES))

    def test_large_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("taco.tools.images.MAX_BYTES", 10)
        (tmp_path / "a.png").write_bytes(encode(PHOTO, "PNG"))
        with pytest.raises(ImageError, match="bytes; the limit is 10"):
            open_image(tmp_path / "a.png")

    @pytest.mark.parametrize("url", ["http://localhost/a.png", "HTTPS://localhost/a.png"])
    def test_url_unless_allowed(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def fetched(*_: object, **__: object) -> None:
            raise AssertionError("the URL was fetched")

        monkeypatch.setattr("taco.tools.images.fetch", fetched)
        with pytest.raises(ImageError, match="only when allowed"):
            open_image(url)

    @pytest.mark.parametrize(
        ("url", "problem"),
        [
            ("http://[x", "is no address"),
            ("http://a b/", "cannot be fetched"),
            ("http://localhost:1/a.png", "not a public address"),
        ],
    )
    def test_url_that_cannot_be_fetched(self, url: str, problem: str) -> None:
        with pytest.raises(ImageError, match=problem):
            open_image(url, allow_urls=True)

    @pytest.mark.parametrize("path", ["a\0b", "x" * 100_000, "data:image/png;base64," + "A" * 100_000])
    def test_what_is_no_path(self, path: str) -> None:
        with pytest.raises(ImageError, match="is no path") as caught:
            open_image(path)
        assert len(str(caught.value)) < 200

    @pytest.mark.parametrize(
        "array",
        [
            np.zeros((4, 4, 3), "float32"), np.zeros((4, 4, 3), "uint16"), np.zeros((4, 4), bool), np.zeros((4, 4), "int64"),
            np.zeros((4, 4, 2), "uint8"), np.zeros(4, "uint8"), np.zeros((1, 4, 4, 3), "uint8"), np.zeros((0, 4), "uint8"),
        ],
    )  # fmt: skip
    def test_arrays_of_wrong_type_or_shape(self, array: np.ndarray) -> None:
        with pytest.raises(ImageError, match="array"):
            open_image(array)

    @pytest.mark.parametrize("mode", ["I", "F"])
    def test_pixels_of_unknown_range(self, mode: str) -> None:
        with pytest.raises(ImageError, match="32-bit pixels"):
            open_image(Image.new(mode, (4, 4)))

    @pytest.mark.parametrize("source", [None, 3, object(), ["a.png"]])
    def test_other_types(self, source: Any) -> None:
        with pytest.raises(ImageError, match=f"got {type(source).__name__}"):
            open_image(source)

    def test_no_pixels(self) -> None:
        with pytest.raises(ImageError, match="empty: 0x5"):
            open_image(Image.new("RGB", (0, 5)))

    def test_is_told_to_the_model(self) -> None:
        assert issubclass(ImageError, ToolError)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@settings(max_examples=300, deadline=None)
@given(
    file_format=st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM"]),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8),
)
def test_damaged_data_is_an_image_or_an_image_error(file_format: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(encode(PHOTO, file_format))
    for place, byte in changes:
        data[place % len(data)] = byte
    with contextlib.suppress(ImageError):
        assert open_image(bytes(data)).mode == "RGB"


class TestPixels:
    """Whatever comes in, RGB as a person would see it comes out."""

    @pytest.mark.parametrize("dtype", ["<u2", ">u2"])
    def test_sixteen_bit_greyscale_is_scaled(self, dtype: str) -> None:
        values = np.array([[0, 0x4000, 0x8000, 0xFFFF]], dtype)
        grey = Image.frombytes("I;16" if dtype == "<u2" else "I;16B", (4, 1), values.tobytes())
        for source in (grey, encode(grey, "TIFF")):
            assert np.asarray(open_image(source))[0, :, 0].tolist() == [0, 64, 128, 255]

    @pytest.mark.parametrize("file_format", ["PNG", "PPM"])
    def test_sixteen_bit_files(self, file_format: str) -> None:
        grey = Image.fromarray(np.array([[0, 0x4000, 0x8000, 0xFFFF]], "uint16"))
        assert np.asarray(open_image(encode(grey, file_format)))[0, :, 2].tolist() == [0, 64, 128, 255]

    def test_cmyk(self) -> None:
        assert open_image(Image.new("CMYK", (2, 2), (0, 255, 255, 0))).getpixel((0, 0)) == (255, 0, 0)

    def test_palette_with_transparency_is_on_white(self) -> None:
        palette = Image.new("P", (2, 1))
        palette.putpalette([255, 0, 0, 0, 255, 0])
        palette.putpixel((1, 0), 1)
        opened = open_image(encode(palette, "PNG", transparency=0))
        assert [opened.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (0, 255, 0)]

    @pytest.mark.parametrize(
        ("mode", "colour"), [("RGBA", (0, 0, 0, 128)), ("LA", (0, 128)), ("RGBa", (0, 0, 0, 128)), ("La", (0, 128))]
    )
    def test_half_transparent_is_on_white(self, mode: str, colour: tuple[int, ...]) -> None:
        assert open_image(Image.new(mode, (2, 2), colour)).getpixel((0, 0)) == (127, 127, 127)

    def test_bilevel(self) -> None:
        assert open_image(Image.new("1", (2, 2), 1)).getpixel((0, 0)) == (255, 255, 255)

    def test_exif_orientation_is_applied(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees to see it upright
        turned = open_image(encode(PHOTO, "PNG", exif=exif))
        assert turned.size == (16, 24)
        assert turned.getpixel((15, 0)) == PHOTO.getpixel((0, 0))

    def test_photo_of_a_phone_with_a_preview(self) -> None:
        assert open_image(encode(PHOTO, "MPO", **FRAMES)).size == PHOTO.size

    @pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3), (4, 6, 4)])
    def test_arrays(self, shape: tuple[int, ...]) -> None:
        opened = open_image(np.full(shape, 255, "uint8"))
        assert (opened.size, opened.mode, opened.getpixel((0, 0))) == ((6, 4), "RGB", (255, 255, 255))

    def test_path_bytes_and_image_agree(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(encode(PHOTO, "PNG"))
        sources: list[Any] = [tmp_path / "a.png", str(tmp_path / "a.png"), encode(PHOTO, "PNG"), PHOTO, np.asarray(PHOTO)]
        assert {pixel_hash(open_image(source)) for source in sources} == {pixel_hash(PHOTO)}


class TestHash:
    def test_is_of_pixels_not_of_the_file(self) -> None:
        files = [
            encode(PHOTO, "PNG"),
            encode(PHOTO, "BMP"),
            encode(PHOTO, "TIFF"),
            encode(PHOTO, "PPM"),
            encode(PHOTO, "WEBP", lossless=True),
        ]
        assert len({ImageStore([file]).sha256("image-0") for file in files}) == 1

    def test_sees_one_changed_pixel(self) -> None:
        changed = PHOTO.copy()
        changed.putpixel((5, 5), (1, 2, 3))
        assert pixel_hash(changed) != pixel_hash(PHOTO)

    def test_sees_the_size(self) -> None:
        assert pixel_hash(Image.new("RGB", (2, 8))) != pixel_hash(Image.new("RGB", (8, 2)))


class TestStore:
    def test_names_follow_the_order(self) -> None:
        store = ImageStore([PHOTO])
        assert store.add(Image.new("RGB", (3, 3))) == "image-1"
        assert (list(store), len(store)) == (["image-0", "image-1"], 2)
        assert store["image-1"].size == (3, 3)

    def test_keeps_its_own_pixels(self) -> None:
        mine = PHOTO.copy()
        store = ImageStore([mine])
        mine.putpixel((0, 0), (9, 9, 9))
        assert store["image-0"].getpixel((0, 0)) == PHOTO.getpixel((0, 0))

    def test_a_copy_grows_alone(self) -> None:
        store = ImageStore([PHOTO])
        store.copy().add(PHOTO)
        assert len(store) == 1

    @pytest.mark.parametrize("name", ["photo.jpg", "image-1", "image--1", "image-00", "image-0 ", "0", "", "/etc/passwd"])
    def test_unknown_name_is_never_opened(self, name: str) -> None:
        store = ImageStore([PHOTO])
        assert name not in store
        with pytest.raises(ImageError, match="the images are: image-0"):
            store[name]
