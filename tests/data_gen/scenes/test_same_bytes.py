"""Every family: the same seed gives the same pixels and annotation in every process."""

import os
import subprocess
import sys

import pytest

from taco.data_gen.families import FAMILIES

_FINGERPRINTS = """
import random, sys
from taco.data_gen.families import FAMILIES
from taco.tools.images import pixel_hash
kind = FAMILIES[sys.argv[1]]
for seed in (0, 1, 2, 3):
    scene = kind.render(random.Random(seed), "train", (kind.fewest, kind.items[1]))
    print([pixel_hash(image) for image in scene.images], scene.annotation.model_dump_json(), [d.sum() for d in scene.disparities])
"""


@pytest.mark.parametrize("family", FAMILIES)
def test_same_seed_same_bytes_in_another_process(family: str) -> None:
    runs = []
    for hash_seed in ("0", "1"):  # the order of sets must not matter
        command = [sys.executable, "-c", _FINGERPRINTS, family]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        runs.append(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines())
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 4
