"""The only way to a tool: what is checked before a call, and what becomes of its result. The reference's R17, R20 and R21.

Run: pytest tests/tools/test_toolbox.py
"""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from taco.tools.action import Action, ToolError
from taco.tools.catalogue import all_tools, default_toolbox, load_tools
from taco.tools.finding import CODES, Finding, feedback
from taco.tools.images import ImageStore
from taco.tools.terminate import Terminate
from taco.tools.tool import Box, tool
from taco.tools.toolbox import MAX_OBSERVATION_CHARS, Toolbox


@tool
def Look(image: Image.Image, bbox: Box | None = None, times: int | float | bool = 1) -> dict[str, Any]:
    """Looks at an image."""
    return {"width": image.width}


@tool
def Give(what: str) -> dict[str, Any]:
    """Gives what it is asked for."""
    if what == "tool error":
        raise ToolError("The kettle is empty. Fill it.")
    results: dict[str, Any] = {
        "image": {"image": Image.new("RGB", (2, 2)), "n": 1},
        "two": {"parts": [{"image": Image.new("RGB", (2, 2))}, Image.new("RGB", (3, 3))], "pair": (1, 2)},
        "empty image": {"image": Image.new("RGB", (0, 0))},
        "list": [1],
        "none": None,
        "set": {"x": {1}},
        "nan": {"x": [float("nan")]},
        "long": {"x": "y" * MAX_OBSERVATION_CHARS},
        "fits": {"x": "y" * (MAX_OBSERVATION_CHARS - 10)},
    }
    return results[what]  # type: ignore[no-any-return]


TOOLBOX = Toolbox([Look, Give])


def images() -> ImageStore:
    return ImageStore([Image.new("RGB", (40, 30))])


def call(name: str, **arguments: Any) -> Action:
    return Action(name=name, arguments=arguments)


class TestCheck:
    @pytest.mark.parametrize(
        ("action", "code", "where"),
        [
            (call("Lok", image="image-0"), "IFN", "name"),
            (call("Look", picture="image-0", image="image-0"), "IAN", "arguments.picture"),
            (call("Look", image=0), "IAT", "arguments.image"),
            (call("Look"), "IAV.missing", "arguments.image"),
            (call("Look", image="image-0", bbox=[0, 0, 1, 2]), "IAV", "arguments.bbox[3]"),
            (call("Look", image="image-0", bbox=[1, 0, 0, 1]), "IAV.bbox", "arguments.bbox"),
            (call("Look", image="image-7"), "IAV.dangling_image", "arguments.image"),
        ],
    )
    def test_each_code(self, action: Action, code: str, where: str) -> None:
        assert [(finding.code, finding.where) for finding in TOOLBOX.check(action, images())] == [(code, where)]

    def test_a_good_call_has_none(self) -> None:
        assert TOOLBOX.check(call("Look", image="image-0"), images()) == []

    def test_misspelt_tool_is_named_with_the_nearest(self) -> None:
        [finding] = TOOLBOX.check(call("Lok"))
        assert (finding.message, finding.hint) == ("There is no tool named 'Lok'.", "Did you mean Look?")

    @pytest.mark.parametrize("name", ["main", "__import__", "make_ocr", "Toolbox", "taco.tools.tool", "look", "", "x" * 100_000])
    def test_r17_only_tools_can_be_called(self, name: str) -> None:
        [finding] = TOOLBOX.check(call(name))
        assert finding.code == "IFN"
        assert len(finding.message) < 200
        assert TOOLBOX.execute(call(name)).error is not None

    @pytest.mark.parametrize("name", ["photo.jpg", "/etc/passwd", "http://localhost/a.png", "../image-0", "image-0.png"])
    def test_r20_a_path_is_no_image_and_is_not_opened(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def opened(*_: object, **__: object) -> None:
            raise AssertionError("something was opened")

        monkeypatch.setattr("PIL.Image.open", opened)
        monkeypatch.setattr(Path, "read_bytes", opened)
        store = images()
        [finding] = TOOLBOX.check(call("Look", image=name), store)
        assert (finding.code, finding.hint) == ("IAT.image", "The images are: image-0.")
        assert "given by its name" in (TOOLBOX.execute(call("Look", image=name), store).error or "")

    def test_a_path_that_exists_is_refused_too(self, tmp_path: Path) -> None:
        file = tmp_path / "cat.png"
        Image.new("RGB", (3, 3)).save(file)
        assert [finding.code for finding in TOOLBOX.check(call("Look", image=str(file)), images())] == ["IAT.image"]


class TestRepeats:
    def check(self, action: Action, *history: Action) -> list[str]:
        store = images()
        store.add(Image.new("RGB", (5, 5)))
        return [finding.code for finding in TOOLBOX.check(action, store, history)]

    def test_the_same_call_again(self) -> None:
        assert self.check(call("Look", image="image-0"), call("Give", what="image"), call("Look", image="image-0")) == ["RAC"]

    def test_order_of_arguments_does_not_matter(self) -> None:
        assert self.check(call("Look", image="image-0", times=2), call("Look", times=2, image="image-0")) == ["RAC"]

    def test_the_same_call_on_a_new_image(self) -> None:
        assert self.check(call("Look", image="image-1"), call("Look", image="image-0")) == []

    @pytest.mark.parametrize(("value", "earlier"), [(1, True), (1, 1.0), (0, False)])
    def test_values_that_only_python_holds_equal(self, value: Any, earlier: Any) -> None:
        assert self.check(call("Look", image="image-0", times=value), call("Look", image="image-0", times=earlier)) == []

    def test_a_fault_is_told_before_the_repeat(self) -> None:
        assert self.check(call("Look", image="image-9"), call("Look", image="image-9")) == ["IAV.dangling_image"]

    def test_execute_knows_no_history(self) -> None:
        store = images()
        assert [TOOLBOX.execute(call("Look", image="image-0"), store).error for _ in range(2)] == [None, None]


class TestExecute:
    def test_content(self) -> None:
        observation = TOOLBOX.execute(call("Look", image="image-0"), images())
        assert (observation.content, observation.images, observation.error) == ({"width": 40}, (), None)
        assert json.loads(observation.to_json()) == {"width": 40}

    def test_an_image_takes_the_next_name(self) -> None:
        store = images()
        observation = TOOLBOX.execute(call("Give", what="image"), store)
        assert (observation.content, observation.images) == ({"image": "image-1", "n": 1}, ("image-1",))
        assert store["image-1"].size == (2, 2)

    def test_nested_images_are_named_in_order(self) -> None:
        observation = TOOLBOX.execute(call("Give", what="two"), images())
        assert observation.content == {"parts": [{"image": "image-1"}, "image-2"], "pair": [1, 2]}
        assert observation.images == ("image-1", "image-2")

    def test_a_finding_becomes_the_error(self) -> None:
        store = images()
        observation = TOOLBOX.execute(call("Look", image="image-5"), store)
        assert observation.error == "IAV.dangling_image: There is no image named 'image-5'. The images are: image-0."
        assert json.loads(observation.to_json()) == {"error": observation.error}

    @pytest.mark.parametrize(
        ("what", "sentence"),
        [("tool error", "The kettle is empty. Fill it."), ("empty image", "the image is empty: 0x0 pixels.")],
    )
    def test_a_tool_error_becomes_the_error(self, what: str, sentence: str) -> None:
        store = images()
        assert TOOLBOX.execute(call("Give", what=what), store).error == sentence
        assert len(store) == 1

    @pytest.mark.parametrize(
        ("what", "error", "match"),
        [
            ("unknown", KeyError, "unknown"),
            ("list", TypeError, "Give returned list; a tool returns a dict"),
            ("none", TypeError, "Give returned NoneType"),
            ("set", TypeError, r"Give\.x is a set"),
            ("nan", ValueError, r"Give\.x\[0\] is nan"),
        ],
    )
    def test_a_bug_surfaces(self, what: str, error: type[Exception], match: str) -> None:
        with pytest.raises(error, match=match):
            TOOLBOX.execute(call("Give", what=what), images())

    def test_long_output_is_an_error_that_says_so(self) -> None:
        error = TOOLBOX.execute(call("Give", what="long")).error
        assert error is not None
        assert f"limit of {MAX_OBSERVATION_CHARS:,}" in error
        assert TOOLBOX.execute(call("Give", what="fits")).error is None

    def test_an_image_that_is_handed_back_keeps_its_name(self) -> None:
        @tool
        def Second(image: Image.Image, other_images: list[Image.Image]) -> dict[str, Any]:
            """Gives one back as it came, and one of its own."""
            return {"best_image": other_images[1], "image": image.copy()}

        store = ImageStore([Image.new("RGB", (2, 2), colour) for colour in ("red", "blue", "green")])
        action = call("Second", image="image-0", other_images=["image-2", "image-1"])
        observation = Toolbox([Second]).execute(action, store)
        assert observation.content == {"best_image": "image-1", "image": "image-3"}
        assert observation.images == ("image-3",)

    def test_an_equal_call_on_equal_pixels_is_worked_out_once(self) -> None:
        runs = []

        @tool
        def Size(image: Image.Image, factor: int = 1) -> dict[str, Any]:
            """Gives a larger image."""
            runs.append(factor)
            return {"image": image.resize((2 * factor, 2 * factor))}

        toolbox, store = Toolbox([Size]), ImageStore([Image.new("RGB", (2, 2), "red")])
        first = toolbox.execute(call("Size", image="image-0"), store)
        again = toolbox.execute(call("Size", image="image-0"), store)
        assert (first.images, again.images) == (("image-1",), ("image-2",))
        toolbox.execute(call("Size", image="image-0"), ImageStore([Image.new("RGB", (2, 2), "red")]))
        assert runs == [1]
        toolbox.execute(call("Size", image="image-0"), ImageStore([Image.new("RGB", (2, 2), "blue")]))
        toolbox.execute(call("Size", image="image-0", factor=2), store)
        assert runs == [1, 1, 2]

    def test_a_tool_may_be_worked_out_each_time_and_a_failure_always_is(self) -> None:
        runs = []

        @tool(memoized=False)
        def Now() -> dict[str, Any]:
            """Tells the time."""
            runs.append("now")
            return {}

        @tool
        def Fails() -> dict[str, Any]:
            """Fails."""
            runs.append("fails")
            raise ToolError("not today")

        toolbox = Toolbox([Now, Fails])
        for name in ("Now", "Now", "Fails", "Fails"):
            toolbox.execute(call(name))
        assert runs == ["now", "now", "fails", "fails"]

    def test_results_that_weigh_too_much_are_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("taco.tools.toolbox.MAX_RESULT_BYTES", 100_000)
        toolbox = Toolbox([Give])
        for what in ("image", "two", "long", "fits"):
            toolbox.execute(call("Give", what=what))
        assert toolbox._results.total <= 100_000
        assert len(toolbox._results) == 4

    def test_r21_observations_name_no_path(self, tmp_path: Path) -> None:
        Image.new("RGB", (60, 40), "white").save(tmp_path / "cat.png")
        toolbox, store = default_toolbox(), ImageStore([tmp_path / "cat.png"])
        bbox = [0.1, 0.1, 0.9, 0.9]
        actions = [
            call("OCR", image="image-0", boxes=True),
            call("Crop", image="image-0", bbox=bbox),
            call("Crop", image="image-9", bbox=bbox),
            call("ZoomIn", image="image-0", bbox=bbox, zoom_factor=2),
            call("Nothing"),
            call("Crop", image="image-0", bbox=[0, 0, 0.001, 1]),
        ]
        told = [toolbox.execute(action, store).to_json() for action in actions]
        assert not [text for text in told if str(tmp_path) in text or "cat" in text or "/" in text]

    @settings(max_examples=200, deadline=None)
    @given(
        name=st.sampled_from(["Look", "Crop", "ZoomIn", "Terminate"]) | st.text(max_size=10),
        arguments=st.dictionaries(
            st.sampled_from(["image", "bbox", "zoom_factor", "answer", "times"]) | st.text(max_size=5),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.just("image-0"),
                lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
                max_leaves=8,
            ),
            max_size=5,
        ),
    )
    def test_whatever_a_model_writes_gives_an_observation(self, name: str, arguments: dict[str, Any]) -> None:
        toolbox = Toolbox([Look, *(item for item in all_tools() if item.name in ("Crop", "ZoomIn", "Terminate"))])
        json.loads(toolbox.execute(Action(name=name, arguments=arguments), images()).to_json())


class TestToolbox:
    def test_keeps_the_order(self) -> None:
        assert (TOOLBOX.names, len(TOOLBOX), "Look" in TOOLBOX, "look" in TOOLBOX) == (["Look", "Give"], 2, True, False)
        assert [schema["function"]["name"] for schema in TOOLBOX.schemas()] == ["Look", "Give"]

    def test_names_are_distinct(self) -> None:
        with pytest.raises(ValueError, match="Two tools are named 'Look'"):
            Toolbox([Look, Look])

    def test_select(self) -> None:
        assert TOOLBOX.select(["Give", "Look"]).names == ["Give", "Look"]
        with pytest.raises(ValueError, match="No such tool: Talk"):
            TOOLBOX.select(["Talk"])

    def test_default_has_what_can_run_here_with_terminate_last(self) -> None:
        assert default_toolbox().names == [item.name for item in all_tools() if item.unavailable() is None]
        assert default_toolbox().names[-1] == "Terminate"

    def test_all_tools_are_the_references_in_its_order(self) -> None:
        assert [item.name for item in all_tools()] == [
            "OCR", "LocalizeObjects", "GetObjects", "EstimateRegionDepth", "EstimateObjectDepth", "Crop", "ZoomIn",
            "QueryLanguageModel", "GetImageToImagesSimilarity", "GetImageToTextsSimilarity", "GetTextToImagesSimilarity",
            "DetectFaces", "QueryKnowledgeBase", "Calculate", "SolveMathEquation", "Terminate",
        ]  # fmt: skip


class TestFinding:
    def test_the_seven_codes(self) -> None:
        assert set(CODES) == {"IFE", "IFN", "IAN", "IAT", "IAV", "RAC", "IAC"}

    @pytest.mark.parametrize("code", ["XYZ", "iav", "IAV.", "IAVmissing", ""])
    def test_no_other_codes(self, code: str) -> None:
        with pytest.raises(ValueError, match="code"):
            Finding(code=code, where="", message="")

    def test_a_repaired_reply_does_not_stop_and_is_not_told(self) -> None:
        repaired = Finding(code="IFE.repaired", where="", message="A comma was removed.")
        wrong = Finding(code="IFN", where="name", message="No.", hint="Yes.")
        assert (repaired.stops, wrong.stops, feedback([repaired, wrong])) == (False, True, "IFN: No. Yes.")


def test_of_many_faults_the_first_are_told() -> None:
    findings = [Finding(code="IAT", where="", message=f"Fault {number}.") for number in range(10_000)]
    assert feedback(findings) == "IAT: Fault 0. IAT: Fault 1. IAT: Fault 2. And 9997 more."


@pytest.mark.parametrize("answer", [float("nan"), float("inf"), None, [], {}])
def test_an_answer_is_a_text_or_a_number(answer: Any) -> None:
    [finding] = Toolbox([Terminate]).check(Action(name="Terminate", arguments={"answer": answer}))
    assert finding.code == "IAT"


OWN = '''
from typing import Any
from taco.tools import Toolbox, tool

@tool
def Double(number: float) -> dict[str, Any]:
    """Doubles a number.

    Args:
        number: The number.
    """
    return {"result": 2 * number}

def Halve(number: float) -> dict[str, Any]:
    """Halves a number.

    Args:
        number: The number.
    """
    return {"result": number / 2}

both = [Double, Halve]
box = Toolbox([Double])
number = 3
numbers = [3]
text = "Double"
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_tools_of_a_test.py").write_text(OWN)
    (tmp_path / "needs_another.py").write_text("import nowhere_to_be_found")
    (tmp_path / "is_wrong.py").write_text("import os; os.nothing")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("attribute", "names"), [("Double", ["Double"]), ("Halve", ["Halve"]), ("both", ["Double", "Halve"]), ("box", ["Double"])]
)
def test_own_tools_are_loaded_from_a_module_of_the_current_directory(attribute: str, names: list[str]) -> None:
    toolbox = Toolbox(load_tools(f"own_tools_of_a_test:{attribute}"))
    assert toolbox.names == names
    assert toolbox.execute(Action(name=names[0], arguments={"number": 4})).content == {"result": 8 if names[0] == "Double" else 2}


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("own_tools_of_a_test", "is not MODULE:ATTRIBUTE"),
        (":Double", "is not MODULE:ATTRIBUTE"),
        ("no_such_module:Double", "no module no_such_module"),
        ("own_tools_of_a_test.part:Double", "no module own_tools_of_a_test.part"),
        ("own_tools_of_a_test:Triple", "has no Triple"),
        ("own_tools_of_a_test:number", "is a int"),
        ("own_tools_of_a_test:numbers", "is a list"),
        (".own_tools_of_a_test:Double", "is not MODULE:ATTRIBUTE"),
        ("own_tools_of_a_test:text", "is a str"),
    ],
)
def test_what_is_no_tool_of_anybodys_is_said_to_be_none(where: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        load_tools(where)


@pytest.mark.usefixtures("own")
def test_a_module_that_itself_misses_another_says_which() -> None:
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
        load_tools("needs_another:tool")
    with pytest.raises(AttributeError, match="nothing"):
        load_tools("is_wrong:tool")
