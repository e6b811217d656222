"""Settings from YAML: what is read, and what is said when they are wrong."""

from pathlib import Path

import pytest

from taco.training.config import PRESETS, ConfigError, TrainConfig, read_config


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_presets_are_valid() -> None:
    names = [read_config(path).model for path in PRESETS.glob("*.yaml")]
    assert "nano" in names


def test_lora_takes_defaults(tmp_path: Path) -> None:
    config = read_config(write(tmp_path / "a.yaml", "lora: {r: 4}\nsteps: 5\noutput_dir: out\n"))
    assert config.lora is not None
    assert (config.lora.r, config.lora.alpha, config.steps) == (4, 32, 5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("learning_rate: 1.0\nsteps: 5\noutput_dir: out", ["'learning_rate' is no setting", " lr,", "batch_size"]),
        ("lora: {rank: 3}\nsteps: 5\noutput_dir: out", ["'lora.rank' is no setting", "r, alpha"]),
        ("steps: 5", ["'output_dir' is missing"]),
        ("output_dir: out", ["exactly one of steps and epochs"]),
        ("steps: 5\nepochs: 1\noutput_dir: out", ["exactly one of steps and epochs"]),
        ("steps: 5\nbatch_size: 0\noutput_dir: out", ["batch_size", "greater than or equal to 1", "got 0"]),
        ("- a\n- b", ["holds list", "mapping"]),
        ("a: [", ["cannot be read as YAML"]),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, said: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        read_config(write(tmp_path / "a.yaml", text))
    for part in said:
        assert part in str(error.value)


def test_a_missing_file_points_at_the_presets(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"lora_nano\.yaml"):
        read_config(tmp_path / "none.yaml")


def test_settings_cannot_be_changed_later() -> None:
    config = TrainConfig(steps=1, output_dir="out")
    with pytest.raises(ValueError, match="frozen"):
        config.lr = 1.0  # type: ignore[misc]
