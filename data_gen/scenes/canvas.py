"""A flat drawing that remembers every text written on it.

Run: `canvas = Canvas((400, 300), (255, 255, 255)); canvas.write("Tea", (20, 60), "Caladea", 32, (0, 0, 0))`.
"""

from PIL import Image, ImageDraw

from taco.data_gen.scenes import fonts
from taco.data_gen.scenes.colours import RGB

PixelBox = tuple[float, float, float, float]


class Canvas:
    """An RGB drawing of `size` pixels.

    Attributes:
        image: The drawing.
        draw: Pillow's pen on it, for everything but text.
        written: (text, box in pixels) of every text, in the order of writing.
    """

    def __init__(self, size: tuple[int, int], paper: RGB) -> None:
        self.image = Image.new("RGB", size, paper)
        self.draw = ImageDraw.Draw(self.image)
        self.written: list[tuple[str, PixelBox]] = []

    def write(self, text: str, xy: tuple[float, float], font: str, size: int, ink: RGB, anchor: str = "ls") -> PixelBox:
        """Write one line at `xy` (Pillow's anchor, baseline left by default) and return the box of its ink."""
        face = fonts.load(font, size)
        self.draw.text(xy, text, fill=ink, font=face, anchor=anchor)
        left, top, right, bottom = self.draw.textbbox(xy, text, font=face, anchor=anchor)
        self.written.append((text, (left, top, right, bottom)))
        return left, top, right, bottom


def hull(*boxes: PixelBox) -> PixelBox:
    """The smallest box around all."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)
