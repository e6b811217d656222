"""Run lengths of masks, held against COCO's own code."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taco.data_gen.masks import Mask, decode, encode

sizes = st.tuples(st.integers(1, 70), st.integers(1, 70))


def blot(size: tuple[int, int], seed: int, share: float) -> Mask:
    """A disc, holes and dust in it: long runs, short ones, and such as begin inside."""
    (width, height), chance = size, np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    disc = (x - width / 2) ** 2 + (y - height / 2) ** 2 < 900 * chance.random()
    found: Mask = disc ^ (chance.random((height, width)) < share)
    return found


@given(sizes, st.integers(0, 999), st.sampled_from((0.0, 0.02, 0.5, 1.0)))
def test_masks_are_what_coco_makes_of_them(size: tuple[int, int], seed: int, share: float) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    mask = blot(size, seed, share)
    assert encode(mask) == coco.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
    assert (decode(encode(mask), size) == mask).all()


def test_a_mask_by_hand() -> None:
    mask = np.zeros((5, 7), np.bool_)
    mask[1:3, 2:5] = True
    assert encode(mask) == ";230009"  # 11 outside, 2 inside, 3, then 2 (+0), 3 (+0), 2 (+0), 12 (+9)
    assert (decode(";230009", (7, 5)) == mask).all()
    assert [encode(np.full((5, 7), inside)) for inside in (False, True)] == ["S1", "0S1"]


@pytest.mark.parametrize("counts", ["", "abc", ";23000", ";2300090", ";23000X", "zzzzzzzz", "\x00", "\U0001f600", "0" * 99, "é"])
def test_what_is_no_mask_of_the_image_is_refused(counts: str) -> None:
    with pytest.raises(ValueError, match="is not one of 7x5 pixels"):
        decode(counts, (7, 5))
