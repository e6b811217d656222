"""Fits `OcrErrors` to a real engine's output on rendered scenes, and measures how close simulated texts come.

$ taco-data fit-ocr --n 200 --seed 1000                    # writes data_gen/ocr_errors.json
$ taco-data fit-ocr --n 100 --seed 2000 --compare          # real against simulated on other scenes; writes nothing
"""

import difflib
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from taco.data_gen.ocr_errors import OcrErrors, Sample, rows_of
from taco.data_gen.scenes.scene import PriceScene, TextLine
from taco.tools.ocr import Region, reading_order

Rows = list[list[TextLine]]
MIN_COUNT = 30
"""Times that a character must occur to have a row of its own in the table."""
QUANTILES = 40
"""Scenes' error rates are kept as so many quantiles."""


@dataclass
class Tally:
    """Counts over scenes. Of each event: how often it happened, and how often it could have."""

    seen: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    characters: Counter[str] = field(default_factory=Counter)
    read_as: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    faults: list[tuple[int, int]] = field(default_factory=list)
    """Per scene: faults, characters."""

    def count(self, event: str, happened: bool) -> None:
        self.seen[event] += 1
        self.happened[event] += happened

    def rate(self, event: str) -> float:
        return round(self.happened[event] / max(1, self.seen[event]), 5)


def fit(readings: Iterable[tuple[PriceScene, Sequence[Region]]], engine: str, sample: dict[str, Any]) -> OcrErrors:
    """The rates that these readings show.

    Args:
        readings: Annotations, and what the engine found in their images.
        engine: Its name and version.
        sample: Family, split and seed of the scenes.
    """
    tally = Tally()
    for scene, regions in readings:
        _tally(tally, scene, list(regions))
    return OcrErrors(
        engine=engine,
        sample=Sample(
            **sample,
            scenes=len(tally.faults),
            texts=tally.seen["missed_price"] + tally.seen["missed_text"],
            characters=tally.characters.total(),
        ),
        missed_price=tally.rate("missed_price"),
        missed_text=tally.rate("missed_text"),
        broken_row=tally.rate("broken_row"),
        merged_rows=tally.rate("merged_rows"),
        glued=tally.rate("glued"),
        dropped_space=_space_table(tally),
        characters=_character_table(tally),
        severity=_severity(tally),
    )


def _tally(tally: Tally, scene: PriceScene, regions: list[Region]) -> None:
    prices = {item.price_text for item in scene.items}
    rows = rows_of(scene)
    found = _assign(rows, regions)
    faults_before = tally.happened.total() + sum(counts.total() for counts in tally.read_as.values())
    for row in rows:
        for piece in row:
            tally.count("missed_price" if piece.text in prices else "missed_text", not found[id(piece)])
        _tally_row(tally, row, found)
    _tally_order(tally, rows, regions, found)
    faults = tally.happened.total() + sum(counts.total() for counts in tally.read_as.values()) - faults_before
    tally.faults.append((faults, sum(len(piece.text) for row in rows for piece in row)))


def _assign(rows: Rows, regions: list[Region]) -> dict[int, list[Region]]:
    """The regions of each text (by its id), left to right: those that share half of the smaller one's area with it."""
    return {
        id(piece): sorted((region for region in regions if _shares(piece, region)), key=lambda region: region.bbox[0])
        for row in rows
        for piece in row
    }


def _shares(piece: TextLine, region: Region) -> bool:
    left, top, right, bottom = piece.bbox
    other = region.bbox
    area = max(0.0, min(right, other[2]) - max(left, other[0])) * max(0.0, min(bottom, other[3]) - max(top, other[1]))
    smaller = min((right - left) * (bottom - top), (other[2] - other[0]) * (other[3] - other[1]))
    return area > smaller / 2


def _tally_row(tally: Tally, row: list[TextLine], found: dict[int, list[Region]]) -> None:
    """The characters of a row's texts. A region that spans two of them is compared with both together."""
    spanned = len(row) > 1 and any(region in found[id(row[1])] for region in found[id(row[0])])
    if len(row) > 1 and found[id(row[0])] and found[id(row[1])] and not spanned:
        tally.count("glued", False)
    for pieces in [row] if spanned else [[piece] for piece in row]:
        regions = {id(region): region for piece in pieces for region in found[id(piece)]}
        read = " ".join(region.label for region in sorted(regions.values(), key=lambda region: region.bbox[0]))
        if read:
            _tally_text(tally, [piece.text for piece in pieces], read)


def _tally_text(tally: Tally, pieces: list[str], read: str) -> None:
    truth, gap = " ".join(pieces), len(pieces[0]) if len(pieces) > 1 else -1
    for _, start, end, read_start, read_end in difflib.SequenceMatcher(None, truth, read, autojunk=False).get_opcodes():
        misread = list(read[read_start:read_end])
        for offset, character in enumerate(truth[start:end]):
            last = start + offset == end - 1
            got = "".join(misread[offset:]) if last else "".join(misread[offset : offset + 1])
            if character == " ":
                following = truth[start + offset + 1 : start + offset + 2]
                tally.count("glued" if start + offset == gap else f"space {following}", got == "")
                continue
            tally.characters[character] += 1
            if got != character:
                tally.read_as[character][got] += 1
        if start == end and start > 0 and truth[start - 1] != " ":  # read, but not there: with the character before it
            tally.read_as[truth[start - 1]][truth[start - 1] + "".join(misread)] += 1


def _tally_order(tally: Tally, rows: Rows, regions: list[Region], found: dict[int, list[Region]]) -> None:
    line_of = {id(region): number for number, line in enumerate(reading_order(regions)) for region in line}
    above: set[int] = set()
    for row in rows:
        lines = [{line_of[id(region)] for region in found[id(piece)]} for piece in row if found[id(piece)]]
        if len(lines) > 1:
            tally.count("broken_row", not lines[0] & lines[1])
        if lines and above:
            tally.count("merged_rows", bool(set.union(*lines) & above))
        above = set.union(*lines) if lines else above


def _character_table(tally: Tally) -> dict[str, dict[str, float]]:
    """A row for each character that is frequent and was ever misread; the rare ones share the row ""."""
    table: dict[str, dict[str, float]] = {}
    rare: Counter[str] = Counter()
    rare_count = 0
    for character, count in sorted(tally.characters.items()):
        if count < MIN_COUNT:
            rare_count += count
            rare.update({"" if got == "" else "?": times for got, times in tally.read_as[character].items()})
        else:
            table[character] = {got: round(times / count, 5) for got, times in sorted(tally.read_as[character].items())}
    table[""] = {got: round(times / max(1, rare_count), 5) for got, times in sorted(rare.items())}
    return table


def _space_table(tally: Tally) -> dict[str, float]:
    """Rates by the character behind a space; the rare ones share the entry ""."""
    spaces = sorted(event for event in tally.seen if event.startswith("space "))
    rare = [event for event in spaces if tally.seen[event] < MIN_COUNT]
    table = {event.removeprefix("space "): tally.rate(event) for event in spaces if event not in rare}
    rare_count = sum(tally.seen[event] for event in rare)
    return {**table, "": round(sum(tally.happened[event] for event in rare) / max(1, rare_count), 5)}


def _severity(tally: Tally) -> tuple[float, ...]:
    """Quantiles of the scenes' fault rates, scaled to the mean 1."""
    rates = sorted(faults / characters for faults, characters in tally.faults)
    chosen = [rates[(2 * index + 1) * len(rates) // (2 * QUANTILES)] for index in range(QUANTILES)]
    mean = sum(chosen) / len(chosen)
    return tuple(round(rate / mean, 3) for rate in chosen) if mean else (1.0,)


# ---------------------------------------------------------------------- how close


def compare(texts: Iterable[tuple[PriceScene, str]], errors: OcrErrors, rng: random.Random) -> dict[str, dict[str, float]]:
    """Real texts (as the tool OCR gave them) against simulated ones for the same scenes: see `measures`."""
    listed = list(texts)
    simulated = [(scene, errors.read(scene, rng)) for scene, _ in listed]
    return {"real": measures(listed), "simulated": measures(simulated)}


def measures(texts: Sequence[tuple[PriceScene, str]]) -> dict[str, float]:
    """Of texts against their scenes: shares of exact rows and scenes, character error rate (mean, median, p90), lines a row."""
    exact_rows: list[bool] = []
    exact_scenes: list[bool] = []
    rates: list[float] = []
    lines = rows_count = 0
    for scene, text in texts:
        rows = [" ".join(piece.text for piece in row) for row in rows_of(scene)]
        read = text.split("\n")
        exact_rows += [row in read for row in rows]
        exact_scenes.append(read == rows)
        truth = "\n".join(rows)
        rates.append(edit_distance(truth, text) / len(truth))
        lines, rows_count = lines + len(read), rows_count + len(rows)
    rates.sort()
    return {
        "exact_rows": _mean(exact_rows),
        "exact_scenes": _mean(exact_scenes),
        "character_error_rate": _mean(rates),
        "character_error_rate_median": round(rates[len(rates) // 2], 4),
        "character_error_rate_p90": round(rates[len(rates) * 9 // 10], 4),
        "lines_per_row": round(lines / rows_count, 4),
    }


def edit_distance(one: str, other: str) -> int:
    """Levenshtein's: insertions, deletions and replacements."""
    row = list(range(len(other) + 1))
    for i, character in enumerate(one, start=1):
        diagonal, row[0] = row[0], i
        for j, read in enumerate(other, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (character != read))
    return row[-1]


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)
