import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from taco.tools import ToolError, default_toolbox
from taco.tools.weights import MODELS, Weights, memory_cap

DEPTH = Weights("TACO_TEST_MODEL", "someone/depth", "AutoModelForDepthEstimation", "AutoImageProcessor")


@pytest.fixture
def folder(checkpoints: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint of one's own, named by the setting; no model is in memory."""
    MODELS.clear()
    shutil.copytree(checkpoints("depth_anything"), tmp_path / "own")
    monkeypatch.setenv("TACO_TEST_MODEL", str(tmp_path / "own"))
    return tmp_path / "own"


def test_r14_a_folder_is_loaded_once_per_setting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert DEPTH.unavailable() is None
    assert DEPTH.backend == "own"
    first = DEPTH.load()
    assert DEPTH.load()[1] is first[1]
    assert not first[1].training
    monkeypatch.setenv("TACO_DTYPE", "bfloat16")
    assert "bfloat16" in str(DEPTH.load()[1].dtype)
    assert len(MODELS) == 2


def test_a_model_in_the_hubs_cache_is_found_by_its_id(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "cache/models--someone--depth/snapshots/abc"
    shutil.copytree(folder, snapshot)
    (tmp_path / "cache/models--someone--depth/refs").mkdir()
    (tmp_path / "cache/models--someone--depth/refs/main").write_text("abc")
    monkeypatch.delenv("TACO_TEST_MODEL")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    assert DEPTH.folder() == snapshot
    assert DEPTH.backend == "someone/depth"
    (snapshot / "model.safetensors").unlink()
    assert DEPTH.unavailable() == "The weights of someone/depth are not on the disk. Download them: hf download someone/depth"


@pytest.mark.parametrize("setting", ["/nowhere/at/all", "./own", "~/own", "a/b/c"])
def test_a_path_that_is_not_there_is_no_part_of_what_a_model_is_told(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TACO_TEST_MODEL", setting)
    with pytest.raises(ToolError, match="TACO_TEST_MODEL names no folder") as caught:
        DEPTH.load()
    assert setting not in str(caught.value)


def test_broken_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{nonsense")
    with pytest.raises(ToolError, match="The weights of own cannot be loaded"):
        DEPTH.load()
    assert len(MODELS) == 0


def test_a_checkpoint_with_code_of_its_own_runs_none_of_it(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "unheard_of", "auto_map": {"AutoConfig": "code.Config", "AutoModelForDepthEstimation": "code.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ToolError, match="cannot be loaded"):
        DEPTH.load()
    assert not (tmp_path / "ran").exists()


def test_over_the_cap_the_model_used_longest_ago_goes(
    folder: Path, checkpoints: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    DEPTH.load()
    monkeypatch.setenv("TACO_MODEL_MEMORY", str(MODELS.total * 1.5e-9))
    monkeypatch.setenv("TACO_TEST_MODEL", str(checkpoints("depth_anything")))
    DEPTH.load()
    assert len(MODELS) == 1
    assert MODELS.total <= memory_cap()


@pytest.mark.parametrize(
    ("name", "value"), [("DEVICE", "gpu"), ("DTYPE", "int8"), ("MODEL_MEMORY", "much"), ("MODEL_MEMORY", "0")]
)
def test_bad_settings(folder: Path, name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"TACO_{name}", value)
    with pytest.raises(ToolError, match=f"TACO_{name} is '{value}'"):
        DEPTH.load()


def test_r15_no_weights_are_read_to_say_what_a_tool_does(
    checkpoints: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    MODELS.clear()
    for setting, name in (
        ("DEPTH", "depth_anything"),
        ("DETECTION", "grounding_dino"),
        ("SIMILARITY", "clip"),
        ("TAGGING", "florence2"),
    ):
        monkeypatch.setenv(f"TACO_{setting}_MODEL", str(checkpoints(name)))
    toolbox = default_toolbox()
    assert {"EstimateObjectDepth", "LocalizeObjects", "GetObjects", "GetTextToImagesSimilarity"} < set(toolbox.names)
    assert len(toolbox.schemas()) == len(toolbox)
    assert all(item.backend for item in toolbox)
    assert len(MODELS) == 0
