"""The report over many traces: accuracy, steps, faulty replies, failed calls; by source.

>>> print(evaluate(read_traces("out")).to_text())
"""

from collections import Counter
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from taco.evaluation.scoring import TOLERANCE, is_correct
from taco.trace import Trace


class Group(BaseModel):
    """Traces and right answers of one source."""

    model_config = ConfigDict(frozen=True)

    traces: int
    correct: int

    @property
    def accuracy(self) -> float:
        return self.correct / self.traces if self.traces else 0.0


class Report(BaseModel):
    """Counts over the last trace of every task. A run that failed is in the denominator, with no right answer.

    Attributes:
        traces: Traces counted, all of them with a known answer.
        correct: Those with the right answer.
        replies: Replies of the model.
        malformed: Replies whose format was unusable, in part or whole.
        repaired: Replies that were mended and then used.
        calls: Actions that were reached.
        failed_calls: Those whose observation is an error.
        unscored: Traces whose task has no answer; they are in no other count.
    """

    model_config = ConfigDict(frozen=True)

    traces: int
    correct: int
    replies: int
    malformed: int
    repaired: int
    calls: int
    failed_calls: int
    unscored: int
    stop_reasons: dict[str, int]
    sources: dict[str, Group]

    @property
    def accuracy(self) -> float:
        """Right answers per trace, 0..1."""
        return self.correct / self.traces if self.traces else 0.0

    def to_text(self) -> str:
        """A table for people."""
        lines = [
            f"accuracy       {self.accuracy:.1%}  ({self.correct} of {self.traces})",
            f"steps          {self.replies / max(1, self.traces):.2f} a trace",
            f"malformed      {self.malformed} of {self.replies} replies ({self.malformed / max(1, self.replies):.2%})",
            f"repaired       {self.repaired} of {self.replies} replies ({self.repaired / max(1, self.replies):.2%})",
            f"failed calls   {self.failed_calls} of {self.calls}",
            "stop reasons   " + ", ".join(f"{reason} {count}" for reason, count in self.stop_reasons.items()),
        ]
        if self.unscored:
            lines.append(f"without answer {self.unscored} (in no count above)")
        width = max((len(source) for source in self.sources), default=0)
        lines += [
            f"  {source:<{width}}  {group.accuracy:6.1%}  ({group.correct} of {group.traces})"
            for source, group in self.sources.items()
        ]
        return "\n".join(lines)


def evaluate(traces: Iterable[Trace], *, tolerance: float = TOLERANCE) -> Report:
    """Score traces. Where a task was run again, its last trace counts."""
    last = {trace.task.id: trace for trace in traces}
    scored = [trace for trace in last.values() if trace.task.answer is not None]
    right = [is_correct(trace.answer, trace.task, tolerance=tolerance) for trace in scored]
    steps = [step for trace in scored for step in trace.steps]
    observations = [observation for step in steps for observation in step.observations]
    faults = [{finding.code for finding in step.findings} for step in steps]
    return Report(
        traces=len(scored),
        correct=sum(right),
        replies=len(steps),
        malformed=sum(any(code.startswith("IFE") and code != "IFE.repaired" for code in codes) for codes in faults),
        repaired=sum("IFE.repaired" in codes for codes in faults),
        calls=len(observations),
        failed_calls=sum(observation.error is not None for observation in observations),
        unscored=len(last) - len(scored),
        stop_reasons=dict(sorted(Counter(trace.stop_reason for trace in scored).items())),
        sources=_by_source(scored, right),
    )


def _by_source(traces: list[Trace], right: list[bool]) -> dict[str, Group]:
    total = Counter(trace.task.source for trace in traces)
    correct = Counter(trace.task.source for trace, is_right in zip(traces, right, strict=True) if is_right)
    return {source: Group(traces=count, correct=correct[source]) for source, count in sorted(total.items())}
