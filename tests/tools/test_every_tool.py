"""Every tool on tiny models in the real layout has the documented keys and refuses bad input (benchmarks/tools.py: the table)."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from taco.tools import Action, ImageStore, Toolbox

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TABLE = SimpleNamespace(**runpy.run_path(str(BENCHMARKS / "tools.py")))


@pytest.fixture(scope="module")
def toolbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toolbox]:
    settings = TABLE.settings(tmp_path_factory.mktemp("models"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        yield TABLE.toolbox()


def test_there_are_seventeen(toolbox: Toolbox) -> None:
    assert set(toolbox.names) == set(TABLE.GOOD)
    assert len(toolbox) == 17
    assert all(tool.unavailable() is None for tool in toolbox)


@pytest.mark.parametrize("name", list(TABLE.GOOD))
def test_it_runs_and_refuses_what_is_wrong(name: str, toolbox: Toolbox) -> None:
    observation = toolbox.execute(Action(name=name, arguments=TABLE.GOOD[name]), ImageStore(TABLE.pictures(1)))
    assert observation.error is None
    assert list(observation.content) == list(toolbox[name].returns)
    count, wrong = TABLE.refusals(toolbox, toolbox[name])
    assert count >= 6
    assert wrong == []
