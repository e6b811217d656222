"""Ratings follow the quality of a trace."""

from taco.data_gen.rating import rate
from taco.prompts import reply_text
from taco.tools.action import Action, Observation
from taco.trace import Step, Task, Trace


def trace_of(*steps: Step) -> Trace:
    return Trace(task=Task(id="1", question="?", answer="3"), steps=steps, answer="3", stop_reason="answered")


def call(number: int, *, error: str | None = None, reply: str | None = None) -> Step:
    action = Action(name="Calculate", arguments={"expression": f"{number} + 1"})
    observation = Observation(error=error) if error else Observation(content={"result": number + 1})
    return Step(reply=reply or reply_text("", [action]), actions=(action,), observations=(observation,))


END = Step(
    reply=reply_text("", [Action(name="Terminate", arguments={"answer": "3"})]),
    actions=(Action(name="Terminate", arguments={"answer": "3"}),),
    observations=(Observation(content={"answer": "3"}),),
)
BROKEN = Step(reply="I would rather not.")


def quality(level: int, number: int) -> Trace:
    """A trace with faults: at level 4 a failed call, below also a broken reply, below also a repeated call."""
    steps = [call(number)]
    steps += [call(number + 50, error="no")] if level < 5 else []
    steps += [BROKEN] if level < 4 else []
    steps += [call(number)] if level < 3 else []
    return trace_of(*steps, END)


def test_ratings_order_known_levels() -> None:
    levels = [level for level in range(1, 6) for _ in range(20)]
    ratings = [rate(quality(level, number), correct=level > 1, grounded=True) for number, level in enumerate(levels)]
    assert ratings == levels


def test_a_lucky_answer_with_invalid_steps_is_rated_3_at_most() -> None:
    assert rate(trace_of(call(1, error="no"), BROKEN, END), correct=True, grounded=True) == 3
    assert rate(trace_of(call(1, error="no"), END), correct=True, grounded=False) == 3
    assert rate(trace_of(), correct=False, grounded=False) == 1, "only that nothing was repeated"


def test_a_judge_lowers_and_never_raises() -> None:
    clean = trace_of(call(1), END)
    assert rate(clean, correct=True, grounded=True, judge=lambda prompt: "Rating: 4") == 4
    assert rate(clean, correct=False, grounded=True, judge=lambda prompt: "5") == 4
    assert rate(clean, correct=True, grounded=True, judge=lambda prompt: "very good") == 0

    def judge(prompt: str) -> str:
        assert '{\\"result\\": 2}' in prompt
        return "5"

    assert rate(clean, correct=True, grounded=True, judge=judge) == 5
