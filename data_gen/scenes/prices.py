"""Scenes of the family `prices`: price boards, menus, receipts, tables, tags, each with its exact annotation.

Run: `render(random.Random(7)).image.show()`; the same seed gives the same pixels on any number of workers.
"""

import random
from typing import Literal

from taco.data_gen.scenes import fonts
from taco.data_gen.scenes.canvas import Canvas
from taco.data_gen.scenes.colours import COLOURS, palette
from taco.data_gen.scenes.names import Split, draw_names
from taco.data_gen.scenes.photo import photograph
from taco.data_gen.scenes.price_layouts import FREE_STANDING, LAYOUTS, TEST_LAYOUTS, Plan
from taco.data_gen.scenes.scene import Item, PriceScene, Scene, TextLine

TITLES = (
    "Menu", "Price List", "Our Prices", "Today", "Fresh Today", "Market Stall", "Corner Cafe", "Welcome", "Daily Specials",
    "Snack Bar", "Village Shop", "The Old Mill", "Station Kiosk", "Good Things", "Choose Yours", "Harbour Deli",
)  # fmt: skip
NOTES = ("", "", "", "Fresh every day", "Served all day", "Eat in or take away", "Open daily", "Mon - Fri", "Self service")
FOOTERS = ("", "", "", "Thank you", "Cash only", "Please pay at the till", "Ask our staff", "See you soon", "Tax included")
FORMATS: tuple[tuple[str, str], ...] = (
    ("$", "${}"), ("$", "${}"), ("", "{}"), ("", "{}"), ("€", "€{}"), ("€", "{} €"), ("£", "£{}"), ("kr", "{} kr"),
)  # fmt: skip
"""(currency, how a price is written with it); twice what is twice as frequent."""

_ENDINGS = ("00", "00", "50", "50", "50", "20", "25", "40", "75", "80", "90", "95", "99", "99")
_SIDES = (440, 800)


def render(rng: random.Random, *, split: Literal["train", "test"] = "train", max_items: int = 8, min_items: int = 2) -> Scene:
    """Draw one scene.

    Args:
        rng: Where all chance comes from: equal states give equal scenes.
        split: "train" never uses the layouts, fonts and item words that are held out. "test" has only held-out words,
            and held-out layouts and fonts in half of its scenes each.
        max_items: Most rows, at most 8: more would be too small to read.
        min_items: Fewest rows, at least 1.

    Raises:
        ValueError: If not 1 <= min_items <= max_items <= 8.
    """
    if not 1 <= min_items <= max_items <= 8:
        raise ValueError(f"A scene has 1 to 8 rows, min_items <= max_items; got min_items={min_items}, max_items={max_items}.")
    layout = _choose(rng, tuple(LAYOUTS), TEST_LAYOUTS, split)
    font = _choose(rng, fonts.FONTS, fonts.TEST_FONTS, split)
    background = rng.choice(tuple(COLOURS))
    count = rng.randint(min_items, max_items)
    currency, prices, price_texts = _prices(rng, font, count)
    cased = rng.choice((str.title, str.title, str.title, str.upper, str.lower))
    names = [cased(name) for name in draw_names(rng, count, split)]
    plan = Plan(
        rows=tuple(zip(names, price_texts, strict=True)),
        title=rng.choice(TITLES),
        note=rng.choice(NOTES),
        footer=rng.choice(FOOTERS),
        font=font,
        palette=palette(background, rng),
        highlighted=rng.randrange(count) if rng.random() < 0.5 else None,
        spread=rng.random(),
    )
    size, board_size, fills_image = _sizes(rng, layout, count)
    canvas = Canvas(board_size, plan.palette.paper)
    rows = LAYOUTS[layout](canvas, plan)
    image, where = photograph(canvas.image, size, rng, fills_image=fills_image)
    annotation = PriceScene(
        layout=layout,
        font=font,
        width=image.width,
        height=image.height,
        currency=currency,
        items=tuple(
            Item(name=name, price=price, price_text=text, bbox=where(box))
            for name, price, text, box in zip(names, prices, price_texts, rows, strict=True)
        ),
        background=background,
        highlighted=plan.highlighted,
        title=plan.title,
        lines=tuple(TextLine(text=text, bbox=where(box)) for text, box in canvas.written),
    )
    return Scene((image,), annotation)


def _choose(rng: random.Random, every: tuple[str, ...], held_out: tuple[str, ...], split: Split) -> str:
    if split == "test" and rng.random() < 0.5:
        return rng.choice(held_out)
    return rng.choice([name for name in every if name not in held_out])


def _prices(rng: random.Random, font: str, count: int) -> tuple[str, list[str], list[str]]:
    """Currency, plain decimals and the same as written; one format for the whole scene."""
    currency, pattern = rng.choice([entry for entry in FORMATS if fonts.has_glyphs(font, entry[0])])
    whole = rng.random() < 0.2
    point = "," if currency in ("€", "kr") and rng.random() < 0.6 else "."
    top = rng.choice((9, 20, 99)) if currency or not whole else 99
    # A lone digit without a currency hardly looks like a price, and text detectors overlook it.
    least = (1 if currency else 10) if whole else 0
    prices = [
        str(rng.randint(least, top)) if whole else f"{rng.randint(least, top)}.{rng.choice(_ENDINGS)}" for _ in range(count)
    ]
    prices = [price if price != "0.00" else "0.50" for price in prices]
    return currency, prices, [pattern.format(price.replace(".", point)) for price in prices]


def _sizes(rng: random.Random, layout: str, count: int) -> tuple[tuple[int, int], tuple[int, int], bool]:
    """Image size, board size, and whether the board fills the image; few rows need no tall board."""
    width, height = rng.randint(*_SIDES), rng.randint(*_SIDES)
    if layout in FREE_STANDING:
        width, height = min(width, height), max(width, height)
    height = min(height, max(_SIDES[0], round(width * (0.55 + 0.2 * count))))
    if layout in FREE_STANDING:
        return (width, height), (round(width * rng.uniform(0.72, 0.92)), round(height * 0.95)), False
    if rng.random() < 0.35:
        return (width, height), (width, height), True
    return (width, height), (round(width * rng.uniform(0.82, 0.97)), round(height * rng.uniform(0.82, 0.97))), False
