"""The loop: its stop reasons, its feedback, what it never does."""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from taco.agent import MAX_FAULTY, Agent, Finished, Observed, Replied
from taco.models.chat import ContextError, ModelError
from taco.models.record import AgentRecord
from taco.models.scripted import ScriptedModel
from taco.prompts import reply_text
from taco.tools import Action, ImageError, ToolError, tool
from taco.tools.calculator import Calculate
from taco.tools.regions import Crop
from taco.trace import Task, ToolRecord

IMAGE = Image.new("RGB", (64, 48), "red")


def calls(*actions: tuple[str, dict[str, Any]], thought: str = "") -> str:
    return reply_text(thought, [Action(name=name, arguments=arguments) for name, arguments in actions])


END = calls(("Terminate", {"answer": "7"}))
SUM = ("Calculate", {"expression": "3 + 4"})


def agent(*replies: str, **settings: Any) -> Agent:
    return Agent(ScriptedModel(list(replies)), tools=[Crop, Calculate], **settings)


def last_text(model: Any) -> str:
    return "".join(part.get("text", "") for part in model.conversations[-1][-1]["content"])


def test_an_answer() -> None:
    one = agent(calls(SUM, thought="Add."), END)
    trace = one.run("3 + 4?", [IMAGE])
    assert (trace.answer, trace.stop_reason) == ("7", "answered")
    assert [step.thought for step in trace.steps] == ["Add.", ""]
    assert trace.steps[0].observations[0].content == {"result": 7}
    assert [item.name for item in trace.tools] == ["Crop", "Calculate", "Terminate"]


def test_r18_every_action_of_a_step_runs_and_may_use_the_image_of_an_earlier_one() -> None:
    first = ("Crop", {"image": "image-0", "bbox": [0, 0, 0.5, 0.5]})
    second = ("Crop", {"image": "image-1", "bbox": [0, 0, 0.5, 0.5]})
    trace = agent(calls(first, second, SUM), END).run("?", [IMAGE])
    assert [observation.error for observation in trace.steps[0].observations] == [None] * 3
    assert list(trace.images) == ["image-0", "image-1", "image-2"]


def test_r19_the_word_terminate_ends_nothing() -> None:
    trace = agent(calls(SUM, thought="I could Terminate now."), END).run("?", [IMAGE])
    assert len(trace.steps) == 2


def test_nothing_runs_after_terminate() -> None:
    trace = agent(calls(("Terminate", {"answer": "7"}), SUM)).run("?")
    assert len(trace.steps[0].actions) == 2
    assert len(trace.steps[0].observations) == 1


def test_r17_a_name_that_is_no_tool_is_a_finding_with_a_hint() -> None:
    one = agent(calls(("main", {})), calls(("Calculat", {})), END)
    trace = one.run("?")
    assert [finding.code for step in trace.steps for finding in step.findings] == ["IFN", "IFN"]
    assert trace.steps[0].findings[0].where == "actions[0].name"
    assert "Did you mean Calculate?" in last_text(one.model)


def test_a_repeated_call_is_a_finding_and_does_not_run() -> None:
    trace = agent(calls(SUM), calls(SUM), END).run("?")
    assert trace.steps[1].findings[0].code == "RAC"
    assert trace.stop_reason == "answered"


def test_a_failed_terminate_does_not_end_the_run() -> None:
    trace = agent(calls(("Terminate", {})), END).run("?")
    assert trace.steps[0].findings[0].code == "IAV.missing"
    assert trace.answer == "7"


def test_stop_reasons() -> None:
    assert agent(calls(SUM), max_steps=1).run("?").stop_reason == "max_steps"
    assert agent(*["no JSON"] * MAX_FAULTY).run("?").stop_reason == "faulty"
    assert agent("no JSON", "no JSON", calls(SUM), "no JSON", END).run("?").stop_reason == "answered"
    failed = list(agent().stream("?"))[-1]
    assert isinstance(failed, Finished)
    assert (failed.trace.stop_reason, failed.error) == ("failed", "The script has no reply left.")


def test_a_full_context_keeps_the_trace() -> None:
    def reply(messages: Any) -> str:
        if len(messages) > 2:
            raise ContextError("full")
        return calls(SUM)

    trace = Agent(ScriptedModel(reply), tools=[Calculate]).run("?")
    assert trace.stop_reason == "context"
    assert trace.steps[0].observations[0].content == {"result": 7}


def test_a_tool_error_goes_to_the_model_and_a_bug_surfaces() -> None:
    @tool
    def Picky(fail: str) -> dict[str, Any]:
        """Fails.

        Args:
            fail: How.
        """
        raise ToolError("Not like that.") if fail == "nicely" else ZeroDivisionError("bug")

    model = ScriptedModel([calls(("Picky", {"fail": "nicely"})), calls(("Picky", {"fail": "badly"}))])
    with pytest.raises(ZeroDivisionError):
        Agent(model, tools=[Picky]).run("?")
    assert json.loads(last_text(model).removeprefix("OBSERVATION: ")) == {"error": "Not like that."}


def test_events_come_in_order_and_end_with_the_trace() -> None:
    events = list(agent(calls(SUM), END).stream("?", [IMAGE]))
    assert [type(event) for event in events] == [Replied, Observed, Replied, Observed, Finished]


def test_the_gold_answer_is_never_shown() -> None:
    model = ScriptedModel([END])
    task = Task(id="1", question="How many?", answer="4711")
    list(Agent(model, tools=[Calculate]).run_batch([task]))
    assert "4711" not in json.dumps(model.conversations, default=str)


def test_a_task_whose_image_is_gone_fails_and_touches_no_other(tmp_path: Path) -> None:
    tasks = [Task(id="1", question="?", images=(str(tmp_path / "none.png"),)), Task(id="2", question="?")]
    traces = list(agent(END).run_batch(tasks))
    assert [trace.stop_reason for trace in traces] == ["failed", "answered"]
    assert str(tmp_path) not in traces[0].to_json()


def test_one_image_alone_is_one_image(tmp_path: Path) -> None:
    IMAGE.save(tmp_path / "a.png")
    pixels = np.asarray(IMAGE)
    for image in (IMAGE, pixels, tmp_path / "a.png", str(tmp_path / "a.png"), [IMAGE], [pixels]):
        assert list(agent(END).run("?", image).images) == ["image-0"]


def test_other_choices_are_another_task() -> None:
    ids = {agent(END).run("?", choices=choices).task.id for choices in (None, ("a", "b"), ("a", "c"))}
    assert len(ids) == 3


def test_bad_use_is_refused_with_a_sentence() -> None:
    with pytest.raises(ImageError, match="There is no file"):
        agent(END).run("?", ["nowhere.png"])
    with pytest.raises(ValueError, match="question is empty"):
        agent(END).run("  ")
    with pytest.raises(ValueError, match="max_steps"):
        agent(END, max_steps=0)


def test_a_trained_model_gets_the_tools_it_was_trained_with(caplog: pytest.LogCaptureFixture) -> None:
    names = ["Calculate", "Levitate", "Terminate"]
    record = AgentRecord(tools=tuple(ToolRecord(name=name, backend="taco") for name in names))
    one = Agent(ScriptedModel([END], record=record))
    assert one.toolbox.names == ["Calculate", "Terminate"]
    assert list(one.missing_tools) == ["Levitate"]
    assert "Levitate" in caplog.text
    assert one.system == "short"
    assert agent(END).system == "full"


def sums(number: int, steps: int) -> list[str]:
    """The replies of a run that adds `steps` times, then says its number."""
    return [calls(("Calculate", {"expression": f"{number} + {step}"})) for step in range(steps)] + [
        calls(("Terminate", {"answer": str(number)}))
    ]


def by_question(messages: Any) -> str:
    """Task n has n % 4 sums before its answer; which one is due is read from the conversation."""
    number = int(messages[1]["content"][-1]["text"])
    return sums(number, number % 4)[(len(messages) - 2) // 2]


class Watched(ScriptedModel):
    """Knows how many conversations it was given at a time."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.batches: list[int] = []

    def generate(self, conversations: Any, stop: Any = None, **settings: Any) -> Any:
        self.batches.append(len(conversations))
        return super().generate(conversations, stop, **settings)


@pytest.mark.parametrize("batch_size", [1, 3, 8, 50])
def test_a_batch_gives_the_traces_that_come_one_by_one(batch_size: int) -> None:
    tasks = [Task(id=str(number), question=str(number), answer=str(number)) for number in range(21)]
    alone = [event.trace for task in tasks for event in Agent(ScriptedModel(by_question), tools=[Calculate]).stream_task(task)
             if isinstance(event, Finished)]  # fmt: skip
    model = Watched(by_question)
    together = list(Agent(model, tools=[Calculate]).run_batch(tasks, batch_size))
    assert [trace.to_json() for trace in together] == [trace.to_json() for trace in alone]
    assert max(model.batches) == min(batch_size, len(tasks))
    replies = sum(number % 4 + 1 for number in range(21))
    assert sum(model.batches) == replies
    if batch_size == 3:  # finished ones leave and waiting ones join: the batch stays full until the tasks run out
        assert model.batches[: replies // 3 - 3] == [3] * (replies // 3 - 3)


def test_a_batch_takes_no_more_tasks_than_it_can_hold() -> None:
    taken = []

    def tasks() -> Any:
        for number in range(200):
            taken.append(number)
            yield Task(id=str(number), question=str(number))

    first = next(iter(Agent(ScriptedModel(by_question), tools=[Calculate]).run_batch(tasks(), 4)))
    assert first.answer == "0"
    assert len(taken) <= 5


class Full(Watched):
    """Has room for two conversations, and none for the question 5."""

    def generate(self, conversations: Any, stop: Any = None, **settings: Any) -> Any:
        if len(conversations) > 2:
            raise ModelError("Out of memory.")
        if any(messages[1]["content"][-1]["text"] == "5" for messages in conversations):
            raise ContextError("Too long.")
        return super().generate(conversations, stop, **settings)


def test_an_error_in_a_batch_touches_no_other_run() -> None:
    tasks = [Task(id=str(number), question=str(number)) for number in range(10)]
    ended = Agent(Full(by_question), tools=[Calculate]).stream_batch(tasks, 4)
    finished = sorted(ended, key=lambda one: int(one.trace.task.id))
    assert [one.trace.stop_reason for one in finished] == ["context" if n == 5 else "answered" for n in range(10)]
    assert finished[5].error == "Too long."
    assert [one.trace.answer for one in finished] == [None if n == 5 else str(n) for n in range(10)]


def test_tools_of_a_batch_run_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=20)

    @tool
    def Meet() -> dict[str, Any]:
        """Waits until three are here."""
        meeting.wait()
        return {"met": True}

    script = [calls(("Meet", {})), END]
    model = ScriptedModel(lambda messages: script[(len(messages) - 2) // 2])
    tasks = [Task(id=str(number), question="?") for number in range(3)]
    traces = list(Agent(model, tools=[Meet]).run_batch(tasks, 3))
    assert [trace.steps[0].observations[0].content for trace in traces] == [{"met": True}] * 3


@pytest.mark.parametrize("bad", [0, -1])
def test_a_batch_of_nothing_is_refused(bad: int) -> None:
    with pytest.raises(ValueError, match=f"batch_size is at least 1; got {bad}"):
        list(agent(END).run_batch([], bad))


def test_a_bug_in_a_tool_surfaces_after_the_runs_that_ended_with_it() -> None:
    @tool
    def Buggy() -> dict[str, Any]:
        """Has a bug."""
        raise KeyError("oops")

    def reply(messages: Any) -> str:
        return calls(("Buggy", {})) if messages[1]["content"][-1]["text"] == "1" else END

    ended = Agent(ScriptedModel(reply), tools=[Buggy]).stream_batch([Task(id=str(n), question=str(n)) for n in range(3)], 3)
    told = [next(ended).trace.task.id, next(ended).trace.task.id]
    assert sorted(told) == ["0", "2"]
    with pytest.raises(KeyError, match="oops"):
        next(ended)


def test_a_failed_batch_is_free_before_its_runs_are_tried_alone() -> None:
    class Heavy:
        alive = 0

        def __init__(self) -> None:
            Heavy.alive += 1

        def __del__(self) -> None:
            Heavy.alive -= 1

    class Short(ScriptedModel):
        def generate(self, conversations: Any, stop: Any = None, **settings: Any) -> Any:
            assert Heavy.alive == 0
            held = Heavy()
            if len(conversations) > 1:
                raise ModelError(f"full of {held}")
            del held
            return super().generate(conversations, stop, **settings)

    tasks = [Task(id=str(number), question=str(number)) for number in range(3)]
    traces = list(Agent(Short(by_question), tools=[Calculate]).run_batch(tasks, 3))
    assert [trace.answer for trace in traces] == ["0", "1", "2"]
