"""The looks of charts: bars upright and lying, grouped bars, lines and pies, drawn with Pillow, so that every place is known.

Run: `drawing = Drawing((800, 600), plan); boxes = drawing.draw()`; `charts.render` makes the plan.
"""

import math
from dataclasses import dataclass

from PIL import Image, ImageDraw

from taco.data_gen.scenes import fonts
from taco.data_gen.scenes.canvas import Canvas, PixelBox
from taco.data_gen.scenes.colours import COLOURS, RGB, Palette

SCALE = 2
"""Shapes are drawn so many times larger and reduced: slanted and round edges become smooth."""
CHART_COLOURS: dict[str, RGB] = COLOURS | {
    "pink": (244, 143, 177),
    "brown": (121, 72, 40),
    "grey": (140, 140, 142),
    "turquoise": (38, 190, 196),
}
"""Colours of bars, lines and slices by name."""
LEAST_SIZE = 12
GAP = 1.4
"""Least blank between two texts side by side, in font sizes: with less, engines take them for one."""
BELOW, ABOVE = 1.9, 0.45
"""From a bar's foot to the baseline of its name, and from its end to that of its value, in font sizes."""


@dataclass(frozen=True)
class Style:
    """How the plot is framed: gridlines (``line``, ``dots`` or none), axes or a whole frame, a shaded ground, outlined bars."""

    grid: str = ""
    frame: bool = False
    panel: bool = False
    outline: bool = False


LAYOUTS: dict[str, Style] = {
    "lines": Style(grid="line"),
    "plain": Style(),
    "framed": Style(grid="line", frame=True),
    "outlined": Style(outline=True),
    "panel": Style(grid="line", panel=True),
    "dotted": Style(grid="dots", frame=True),
    "sketch": Style(grid="dots", panel=True, outline=True),
}
TEST_LAYOUTS = ("dotted", "sketch")
"""Layouts that no training scene uses."""


@dataclass(frozen=True)
class Plan:
    """What is drawn, and how.

    Attributes:
        kind: As of the annotation.
        title: Above the chart.
        measure: What stands at the value axis; may be empty.
        legend: Whether a pie's names stand in a legend.
        categories: Names, in order.
        series: Names; empty where there is one series.
        values: Of each series, by category.
        labels: The values as they are written beside the marks; empty where they are not.
        ticks: Values of the axis from 0 up, and how they are written; empty for an axis without.
        top: The value at the axis' end.
        colours: Of each series, by category.
        filled: How far a bar fills the place that it has.
        style: See `Style`.
        font: Its name.
        palette: Ink and accent for texts.
        size: Of the texts, at most.
    """

    kind: str
    title: str
    measure: str
    legend: bool
    categories: tuple[str, ...]
    series: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    labels: tuple[tuple[str, ...], ...]
    ticks: tuple[tuple[float, str], ...]
    top: float
    colours: tuple[tuple[RGB, ...], ...]
    filled: float
    style: Style
    font: str
    palette: Palette
    size: int


class Drawing:
    """One chart on a blank ground of `size` pixels.

    Attributes:
        canvas: The finished drawing, after `draw`.
    """

    def __init__(self, size: tuple[int, int], plan: Plan) -> None:
        self.plan, self.size = plan, size
        self._layer = Image.new("RGB", (size[0] * SCALE, size[1] * SCALE), plan.palette.paper)
        self._pen = ImageDraw.Draw(self._layer)
        self._texts: list[tuple[str, tuple[float, float], int, RGB, str]] = []
        self.canvas = Canvas(size, plan.palette.paper)

    def draw(self) -> list[list[PixelBox]]:
        """Draw it; returns the box of each mark, by series and category."""
        boxes = self._chart(self._head())
        self.canvas.image.paste(self._layer.reduce(SCALE))
        for text, xy, size, ink, anchor in self._texts:
            self.canvas.write(text, xy, self.plan.font, size, ink, anchor)
        return boxes

    # ------------------------------------------------------------------ title, legend, axes

    def _head(self) -> float:
        """Title and legend; returns the y below them."""
        plan, (width, _) = self.plan, self.size
        title = self._fitting([plan.title], 0.9 * width, round(1.35 * plan.size))
        y = 1.7 * title
        self._write(plan.title, (width / 2, y), title, plan.palette.accent, "ms")
        if len(plan.series) > 1:
            y += 2.0 * plan.size
            place = width / (len(plan.series) + 0.5)
            small = self._fitting(plan.series, place - 2.5 * plan.size, plan.size)
            for index, (name, colours) in enumerate(zip(plan.series, plan.colours, strict=True)):
                x = (index + 0.25) * place + small
                self._rectangle((x, y - 0.8 * small, x + 1.1 * small, y + 0.1 * small), colours[0], plan.palette.ink)
                self._write(name, (x + 1.7 * small, y), small, plan.palette.ink)
        return y + 0.7 * plan.size

    def _chart(self, top: float) -> list[list[PixelBox]]:
        if self.plan.kind == "pie":
            return [self._pie(top)]
        if self.plan.kind == "horizontal bar":
            return [self._lying_bars(top)]
        plot = self._upright_plot(top)
        return self._lines(plot) if self.plan.kind == "line" else self._bars(plot)

    def _upright_plot(self, top: float) -> PixelBox:
        """Value axis on the left, names below; returns the place between."""
        plan, (width, height) = self.plan, self.size
        small = max(LEAST_SIZE, round(0.9 * plan.size))
        if plan.measure:
            top += 1.2 * small
            self._write(plan.measure, (0.04 * width, top), small, plan.palette.ink)
        ticks = max((fonts.load(plan.font, small).getlength(text) for _, text in plan.ticks), default=0.0)
        plot = (0.05 * width + ticks + 0.8 * small, top + 1.6 * plan.size, 0.96 * width, height - 3.2 * plan.size)
        self._panel(plot)
        for value, text in plan.ticks:
            y = self._level(plot, value)
            self._gridline((plot[0], y, plot[2], y))
            self._write(text, (plot[0] - 0.7 * small, y + 0.35 * small), small, plan.palette.ink, "rs")
        self._axes(plot)
        place = (plot[2] - plot[0]) / len(plan.categories)
        names = self._spaced(plan.categories, place)
        for index, name in enumerate(plan.categories):
            x = plot[0] + (index + 0.5) * place
            self._write(name, (x, plot[3] + BELOW * plan.size), names, plan.palette.ink, "ms")
        return plot

    def _level(self, plot: PixelBox, value: float) -> float:
        return plot[3] - value / self.plan.top * (plot[3] - plot[1])

    def _panel(self, plot: PixelBox) -> None:
        if self.plan.style.panel:
            self._rectangle(plot, mixed(self.plan.palette.paper, self.plan.palette.ink, 0.07))

    def _gridline(self, ends: PixelBox) -> None:
        ink = mixed(self.plan.palette.paper, self.plan.palette.ink, 0.2)
        if self.plan.style.grid == "line":
            self._line([ends[:2], ends[2:]], ink, 1)
        elif self.plan.style.grid == "dots":
            steps = round(math.dist(ends[:2], ends[2:]) / 8)
            for step in range(steps):
                x, y = (ends[axis] + (ends[axis + 2] - ends[axis]) * step / steps for axis in (0, 1))
                self._rectangle((x, y, x + 1.5, y + 1.5), ink)

    def _axes(self, plot: PixelBox) -> None:
        left, top, right, bottom = plot
        corners = [(left, top), (left, bottom), (right, bottom)] + ([(right, top), (left, top)] if self.plan.style.frame else [])
        self._line(corners, self.plan.palette.ink, 2)

    # ------------------------------------------------------------------ marks

    def _bars(self, plot: PixelBox) -> list[list[PixelBox]]:
        plan = self.plan
        place = (plot[2] - plot[0]) / len(plan.categories)
        bar = place * plan.filled / len(plan.values)
        labels = [text for row in plan.labels for text in row]
        size = self._spaced(labels, bar if len(plan.series) > 1 else place) if labels else 0
        boxes: list[list[PixelBox]] = []
        for series, values in enumerate(plan.values):
            boxes.append([])
            for index, value in enumerate(values):
                left = plot[0] + (index + 0.5) * place + (series - len(plan.values) / 2) * bar
                box = (left, self._level(plot, value), left + bar * (0.94 if len(plan.series) > 1 else 1), plot[3])
                self._rectangle(box, plan.colours[series][index], plan.palette.ink if plan.style.outline else None)
                boxes[-1].append(box)
                if plan.labels:
                    middle = (box[0] + box[2]) / 2
                    self._write(plan.labels[series][index], (middle, box[1] - ABOVE * size), size, plan.palette.ink, "ms")
        return boxes

    def _lying_bars(self, top: float) -> list[PixelBox]:
        plan, (width, height) = self.plan, self.size
        names = self._fitting(plan.categories, 0.3 * width, plan.size)
        small = max(LEAST_SIZE, round(0.9 * plan.size))
        column = max(fonts.load(plan.font, names).getlength(name) for name in plan.categories)
        labels = plan.labels[0] if plan.labels else ()
        reach = max((fonts.load(plan.font, plan.size).getlength(text) for text in labels), default=0.0)
        plot = (
            0.05 * width + column,
            top + 0.5 * plan.size,
            0.93 * width - reach,
            height - (3.0 if plan.ticks else 1.2) * plan.size,
        )
        self._panel(plot)
        for value, text in plan.ticks:
            x = plot[0] + value / plan.top * (plot[2] - plot[0])
            self._gridline((x, plot[1], x, plot[3]))
            self._write(text, (x, plot[3] + 1.6 * small), small, plan.palette.ink, "ms")
        self._axes(plot)
        place = (plot[3] - plot[1]) / len(plan.categories)
        boxes = []
        for index, (name, value) in enumerate(zip(plan.categories, plan.values[0], strict=True)):
            y = plot[1] + (index + 0.5) * place
            half = place * plan.filled / 2
            box = (plot[0], y - half, plot[0] + value / plan.top * (plot[2] - plot[0]), y + half)
            self._rectangle(box, plan.colours[0][index], plan.palette.ink if plan.style.outline else None)
            boxes.append(box)
            self._write(name, (plot[0] - 0.5 * names, y + 0.35 * names), names, plan.palette.ink, "rs")
            if labels:
                self._write(labels[index], (box[2] + 0.5 * plan.size, y + 0.35 * plan.size), plan.size, plan.palette.ink)
        return boxes

    def _lines(self, plot: PixelBox) -> list[list[PixelBox]]:
        plan = self.plan
        place = (plot[2] - plot[0]) / len(plan.categories)
        rows = [
            [(plot[0] + (index + 0.5) * place, self._level(plot, value)) for index, value in enumerate(values)]
            for values in plan.values
        ]
        dot = max(4.0, 0.3 * plan.size)
        for points, colours in zip(rows, plan.colours, strict=True):
            self._line(points, colours[0], 3)
            for x, y in points:
                self._pen.ellipse([SCALE * side for side in (x - dot, y - dot, x + dot, y + dot)], fill=colours[0])
        if plan.labels:
            self._label_points(rows[0], place)
        return [[(x - dot, y - dot, x + dot, y + dot) for x, y in points] for points in rows]

    def _label_points(self, points: list[tuple[float, float]], place: float) -> None:
        """The values above the points, or below where the line rises to both sides, on a ground that hides the line."""
        plan = self.plan
        size = self._spaced(plan.labels[0], place)
        face = fonts.load(plan.font, size)
        for index, (text, (x, y)) in enumerate(zip(plan.labels[0], points, strict=True)):
            beside = [points[other][1] for other in (index - 1, index + 1) if 0 <= other < len(points)]
            below = all(other < y for other in beside)
            baseline = y + 1.5 * size if below else y - 0.8 * size
            half = face.getlength(text) / 2 + 2
            ground = mixed(plan.palette.paper, plan.palette.ink, 0.07) if plan.style.panel else plan.palette.paper
            self._rectangle((x - half, baseline - 0.85 * size, x + half, baseline + 0.15 * size), ground)
            self._write(text, (x, baseline), size, plan.palette.ink, "ms")

    def _pie(self, top: float) -> list[PixelBox]:
        """Slices clockwise from the top; names (with the values, where they are shown) around it, or in a legend at its right."""
        plan, (width, height) = self.plan, self.size
        texts = [f"{name} {label}" for name, label in zip(plan.categories, plan.labels[0], strict=True)] if plan.labels else []
        texts = texts or list(plan.categories)
        legend = plan.legend
        size = self._fitting(texts, (0.32 if legend else 0.24) * width, plan.size)
        centre = ((0.33 if legend else 0.5) * width, (top + height - 0.5 * plan.size) / 2)
        radius = min((0.28 if legend else 0.23) * width, (height - top) / 2 - (1.2 if legend else 2.6) * plan.size)
        circle = [SCALE * side for side in (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)]
        total, angle, boxes = sum(plan.values[0]), -90.0, []
        for index, (value, text) in enumerate(zip(plan.values[0], texts, strict=True)):
            extent = 360 * value / total
            self._pen.pieslice(circle, angle, angle + extent, fill=plan.colours[0][index], outline=plan.palette.paper, width=3)
            boxes.append(_slice_box(centre, radius, angle, angle + extent))
            if legend:
                y = top + (height - top) * (index + 1) / (len(texts) + 1)
                x = 0.66 * width
                self._rectangle((x - 1.7 * size, y - 0.8 * size, x - 0.6 * size, y + 0.1 * size), plan.colours[0][index])
                self._write(text, (x, y), size, plan.palette.ink)
            else:
                turn = math.radians(angle + extent / 2)
                x, y = centre[0] + 1.1 * radius * math.cos(turn), centre[1] + (1.1 * radius + 0.5 * size) * math.sin(turn)
                anchor = "ms" if abs(math.cos(turn)) < 0.12 else "ls" if math.cos(turn) > 0 else "rs"
                self._write(text, (x, y + 0.35 * size), size, plan.palette.ink, anchor)
            angle += extent
        return boxes

    # ------------------------------------------------------------------ pens

    def _fitting(self, texts: tuple[str, ...] | list[str], width: float, size: int) -> int:
        """`size`, or less where the widest text would not fit into `width`."""
        face = fonts.load(self.plan.font, 100)
        return max(LEAST_SIZE, int(min(size, width / max(face.getlength(text) / 100 for text in texts))))

    def _spaced(self, texts: tuple[str, ...] | list[str], place: float) -> int:
        """The size at which texts side by side, `place` pixels each, stand apart."""
        face = fonts.load(self.plan.font, 100)
        return max(LEAST_SIZE, int(min(self.plan.size, place / (max(face.getlength(text) / 100 for text in texts) + GAP))))

    def _write(self, text: str, xy: tuple[float, float], size: int, ink: RGB, anchor: str = "ls") -> None:
        self._texts.append((text, xy, size, ink, anchor))

    def _rectangle(self, box: PixelBox, fill: RGB, outline: RGB | None = None) -> None:
        self._pen.rectangle([SCALE * side for side in box], fill=fill, outline=outline, width=2 * SCALE if outline else 0)

    def _line(self, points: list[tuple[float, float]], ink: RGB, width: int) -> None:
        self._pen.line([(SCALE * x, SCALE * y) for x, y in points], fill=ink, width=SCALE * width, joint="curve")


def _slice_box(centre: tuple[float, float], radius: float, start: float, end: float) -> PixelBox:
    """The box of a slice between two angles, degrees."""
    turns = [start, end, *(turn for turn in (-90.0, 0.0, 90.0, 180.0, 270.0) if start < turn < end)]
    points = [centre] + [
        (centre[0] + radius * math.cos(math.radians(turn)), centre[1] + radius * math.sin(math.radians(turn))) for turn in turns
    ]
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def mixed(one: RGB, other: RGB, share: float) -> RGB:
    """A colour so far on the way from one to another."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
