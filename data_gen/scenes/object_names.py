"""The words of object scenes: kinds of objects, their colours, materials and patterns, and what is held out for testing.

Run: `held_out("mug", "red")`; `ATTRIBUTE_KINDS["striped"]` is "pattern".

Kinds of one `group` look alike or are named alike (ball and egg, cube and book); a scene has one of a group at most, so that
"how many balls" has one answer.
"""

from dataclasses import dataclass

from taco.data_gen.scenes.colours import COLOURS, RGB
from taco.data_gen.scenes.names import Split

OBJECT_COLOURS: dict[str, RGB] = {**COLOURS, "pink": (244, 143, 184), "brown": (112, 66, 33)}
"""Colours of objects by name: those of boards and two more."""
MATERIALS = ("matte", "metal", "wooden")
PATTERNS = ("striped", "dotted", "checkered")
SIZES = ("small", "large")
ATTRIBUTE_KINDS: dict[str, str] = {
    **dict.fromkeys(OBJECT_COLOURS, "colour"),
    **dict.fromkeys(MATERIALS, "material"),
    **dict.fromkeys(PATTERNS, "pattern"),
    **dict.fromkeys(SIZES, "size"),
}
"""Every attribute -> what it is of an object. Each object has one colour and one material, and at most one pattern and size."""
PREDICATES = ("left of", "right of", "in front of", "behind", "on", "next to")
"""How objects may stand to each other."""
HELD_OUT_EVERY = 4
"""One in so many colours of a kind is for testing only; what comes in one colour is for training only."""

_ALL = tuple(OBJECT_COLOURS)
_PAINTED = tuple(colour for colour in _ALL if colour != "brown")
_VIVID = tuple(colour for colour in _PAINTED if colour not in ("white", "black"))

Range = tuple[float, float]


@dataclass(frozen=True)
class Kind:
    """What objects of a name may look like.

    Attributes:
        group: Kinds that are not shown together with it.
        colours: Names that it may have.
        table: Metres a unit of its shape where the scene is a table top; None: it is not put there.
        floor: The same where the scene is a room or a yard.
        materials: Besides "wooden", which brown objects of a kind with `wood` are.
        wood: See `materials`.
        patterns: That it may have.
        holds: Radius of what may stand on it, in units of its shape; 0: nothing may.
        yaw: Degrees that it may be turned by; what has a face turns it to the camera.
    """

    group: str
    colours: tuple[str, ...] = _PAINTED
    table: Range | None = None
    floor: Range | None = None
    materials: tuple[str, ...] = ("matte", "metal")
    wood: bool = False
    patterns: tuple[str, ...] = ()
    holds: float = 0.0
    yaw: Range = (0, 360)


_MATTE = ("matte",)

KINDS: dict[str, Kind] = {
    "ball": Kind("ball", _PAINTED, (0.05, 0.14), (0.2, 0.7), patterns=PATTERNS),
    "cube": Kind("box", _ALL, (0.05, 0.13), (0.25, 0.7), wood=True, patterns=PATTERNS, holds=0.5),
    "cylinder": Kind("cylinder", _ALL, (0.07, 0.15), (0.3, 0.9), wood=True, patterns=PATTERNS, holds=0.28),
    "cone": Kind("cone", _ALL, (0.08, 0.16), (0.35, 0.9), wood=True, patterns=PATTERNS[:1]),
    "pyramid": Kind("cone", _ALL, (0.08, 0.16), (0.4, 1.0), wood=True, patterns=PATTERNS[:1]),
    "ring": Kind("ring", _PAINTED, (0.08, 0.15), (0.4, 0.8)),
    "donut": Kind("ring", ("pink", "brown", "white", "yellow", "blue", "green", "purple"), (0.08, 0.13), materials=_MATTE),
    "mug": Kind("cup", _PAINTED, (0.08, 0.12), patterns=PATTERNS[:2], yaw=(-210, 30)),
    "bowl": Kind("cup", _ALL, (0.13, 0.22), materials=_MATTE, wood=True, patterns=PATTERNS[:1]),
    "bottle": Kind("bottle", _PAINTED, (0.17, 0.27)),
    "vase": Kind("bottle", _PAINTED, (0.16, 0.28), (0.4, 0.9), patterns=PATTERNS),
    "candle": Kind("candle", _PAINTED, (0.13, 0.2), materials=_MATTE, patterns=PATTERNS[:1]),
    "lamp": Kind("lamp", _PAINTED, (0.25, 0.4), (1.2, 1.8), materials=_MATTE, patterns=PATTERNS[:1]),
    "book": Kind("box", _PAINTED, (0.16, 0.26), materials=_MATTE, holds=0.36, yaw=(-150, -30)),
    "egg": Kind("ball", ("white", "brown", "blue", "pink", "yellow"), (0.06, 0.1), materials=_MATTE, patterns=PATTERNS[:2]),
    "apple": Kind("ball", ("red", "green", "yellow"), (0.075, 0.1), materials=_MATTE),
    "can": Kind("cylinder", _PAINTED, (0.11, 0.15), materials=("metal",)),
    "mushroom": Kind("mushroom", _VIVID, (0.08, 0.15), (0.3, 0.7), materials=_MATTE, patterns=PATTERNS[1:2]),
    "hat": Kind("hat", _ALL, (0.2, 0.3), materials=_MATTE, patterns=PATTERNS),
    "duck": Kind("duck", ("yellow", "white", "blue", "pink", "green", "purple", "red", "orange"), (0.09, 0.15), materials=_MATTE),
    "car": Kind("car", _PAINTED, (0.12, 0.2), (2.2, 3.4)),
    "truck": Kind("car", _PAINTED, (0.13, 0.22), (2.6, 4.0)),
    "rocket": Kind("rocket", _PAINTED, (0.18, 0.3), (1.0, 2.4), patterns=PATTERNS[:1], yaw=(-60, 60)),
    "robot": Kind("robot", _PAINTED, (0.14, 0.24), (0.9, 1.6), yaw=(-50, 50)),
    "dumbbell": Kind("dumbbell", _PAINTED, (0.16, 0.24), (0.5, 0.9)),
    "tree": Kind("cone", ("green", "orange", "yellow", "red", "pink"), (0.2, 0.34), (1.5, 3.2), materials=_MATTE),
    "house": Kind("house", _PAINTED, (0.16, 0.26), (1.8, 3.0), materials=_MATTE, yaw=(-50, 50)),
    "tent": Kind("house", _VIVID, None, (1.2, 2.0), materials=_MATTE, patterns=PATTERNS[:1], yaw=(-50, 50)),
    "snowman": Kind("snowman", ("white",), (0.14, 0.24), (0.9, 1.7), materials=_MATTE, yaw=(-50, 50)),
    "barrel": Kind("cylinder", _ALL, None, (0.7, 1.0), wood=True, holds=0.3),
    "bucket": Kind("cup", _PAINTED, (0.1, 0.16), (0.3, 0.5), patterns=PATTERNS[:1]),
    "table": Kind("table", _ALL, None, (0.7, 0.85), materials=_MATTE, wood=True, holds=0.44),
    "stool": Kind("stool", _ALL, None, (0.45, 0.7), wood=True, holds=0.33),
    "bench": Kind("stool", _ALL, None, (1.1, 1.6), materials=_MATTE, wood=True, holds=0.15),
    "chair": Kind("chair", _ALL, None, (0.85, 1.0), materials=_MATTE, wood=True),
}  # fmt: skip


def held_out(kind: str, colour: str) -> bool:
    """Whether things of this kind and colour occur in test scenes only."""
    colours = KINDS[kind].colours
    return len(colours) > 2 and (colours.index(colour) + list(KINDS).index(kind)) % HELD_OUT_EVERY == 0


def colours_of(kind: str, split: Split) -> tuple[str, ...]:
    """Colours that a kind may have in a split; none: it does not occur there."""
    return tuple(colour for colour in KINDS[kind].colours if held_out(kind, colour) == (split == "test"))
