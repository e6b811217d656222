"""The embedded model as it ships: small, complete, of our classes, and it answers the README's question."""

import json
import math
from pathlib import Path

import pytest
from safetensors import safe_open

from taco.agent import Agent
from taco.models import LocalModel, load_model
from taco.models.loading import NANO

BOARD = Path(__file__).parents[2] / "docs/images/board.jpg"


def test_the_weights_are_small_and_half_precision() -> None:
    shards = sorted(NANO.glob("*.safetensors"))
    assert shards
    parameters = 0
    for shard in shards:
        assert shard.stat().st_size <= 15_000_000
        with safe_open(shard, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping
                tensor = file.get_slice(name)
                assert tensor.get_dtype() == "F16", name
                parameters += math.prod(tensor.get_shape())
    assert parameters <= 8_000_000


def test_nothing_in_it_names_a_machine() -> None:
    for path in NANO.glob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert "/work" not in text
        assert "/tmp" not in text
        assert json.loads(text) is not None


@pytest.fixture(scope="module")
def agent() -> Agent:
    return Agent()


def test_it_is_an_xgenmm_and_offers_what_it_was_trained_with(agent: Agent) -> None:
    assert isinstance(agent.model, LocalModel)
    assert type(agent.model.model).__name__ == "XGenMMForConditionalGeneration"
    assert agent.toolbox.names == ["OCR", "Calculate", "Terminate"]
    assert agent.missing_tools == {}
    assert agent.system == "short"


def test_the_readmes_question_is_answered(agent: Agent) -> None:
    trace = agent.run("How much do 3 Mint tea cost?", [BOARD])
    assert [action.name for step in trace.steps for action in step.actions] == ["OCR", "Calculate", "Terminate"]
    assert trace.stop_reason == "answered"
    assert trace.answer == "8.4"
    assert all(not step.findings for step in trace.steps)


def test_it_looks(agent: Agent) -> None:
    trace = agent.run("What colour is the board?", [BOARD])
    assert trace.answer == "green"
    assert [action.name for step in trace.steps for action in step.actions] == ["Terminate"]


def test_equal_questions_give_equal_traces(agent: Agent) -> None:
    one, other = (agent.run("What is the price of Bagel?", [BOARD]) for _ in range(2))
    assert one.to_json() == other.to_json()
    assert load_model("nano").record == agent.model.record
