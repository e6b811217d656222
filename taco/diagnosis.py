"""What goes wrong in traces, by SpecTool's seven patterns (arXiv 2411.13547): per tool and source, with rates and examples.

    >>> report = diagnose_all(read_traces("out"), references=read_traces("gold"))
    >>> print(report.to_text())

Nothing is checked here in a second way: formats by `parse_reply` (IFE), calls by `Toolbox.check` (IFN, IAN, IAT, IAV, RAC). Only
what needs a reference is added: IAC, a call that is missing, and IAV, a value that is none of the reference's.
"""

import functools
import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from taco.parser import parse_reply
from taco.tools.action import Action
from taco.tools.catalogue import all_tools
from taco.tools.finding import CODES, Finding
from taco.tools.toolbox import Toolbox
from taco.trace import Trace

EXAMPLES = 3
"""Kept of each pattern."""
_ORDER = list(CODES)


class Fault(BaseModel):
    """A finding and where it stands: the step (from 0; None for the trace as a whole) and the tool that was called, if any."""

    model_config = ConfigDict(frozen=True)

    step: int | None
    tool: str
    finding: Finding

    @property
    def code(self) -> str:
        """The pattern, without its refinement."""
        return self.finding.code.partition(".")[0]


class Rate(BaseModel):
    """Faults, and how often there could have been one: replies (IFE), traces with a reference (IAC), calls (the others)."""

    model_config = ConfigDict(frozen=True)

    faults: int
    of: int

    @property
    def rate(self) -> float:
        return self.faults / self.of if self.of else 0.0


class Example(BaseModel):
    """A fault of one trace."""

    model_config = ConfigDict(frozen=True)

    trace: str
    fault: Fault


class Diagnosis(BaseModel):
    """Faults over many traces.

    Attributes:
        traces: Traces looked at.
        clean: Those without a fault.
        with_reference: Those that could be compared.
        patterns: By code; all seven, however few.
        tools: By tool, then code: faults among that tool's calls.
        sources: By ``task.source``, then code.
        examples: By code, some faults.
    """

    model_config = ConfigDict(frozen=True)

    traces: int
    clean: int
    with_reference: int
    patterns: dict[str, Rate]
    tools: dict[str, dict[str, Rate]]
    sources: dict[str, dict[str, Rate]]
    examples: dict[str, list[Example]]

    def to_html(self) -> str:
        """A page: a bar for each pattern, tables by tool and source, examples. What traces say is escaped."""
        from jinja2 import Environment, PackageLoader, StrictUndefined

        pages = Environment(loader=PackageLoader("taco", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
        largest = max(rate.rate for rate in self.patterns.values()) or 1
        return pages.get_template("diagnosis.html.jinja").render(report=self, codes=CODES, largest=largest) + "\n"

    def to_text(self) -> str:
        """A table for people."""
        lines = [f"{self.traces} traces, {self.clean} without a fault, {self.with_reference} with a reference"]
        for code, rate in self.patterns.items():
            lines.append(f"{code}  {rate.faults:>5} of {rate.of:<6} {rate.rate:7.2%}  {CODES[code]}")
        for title, groups in (("tool", self.tools), ("source", self.sources)):
            for name, rates in groups.items():
                found = ", ".join(f"{code} {rate.faults} of {rate.of}" for code, rate in rates.items() if rate.faults)
                lines += [f"  {title} {name}: {found}"] if found else []
        for code, examples in self.examples.items():
            for example in examples:
                where = "the whole trace" if example.fault.step is None else f"step {example.fault.step}"
                lines.append(f"  e.g. {code} in {example.trace}, {where}: {example.fault.finding.message}")
        return "\n".join(lines)


class _Replay(NamedTuple):
    """One trace gone through again: faults, the calls that could run, and how often each tool was called."""

    faults: list[Fault]
    ran: list[Action]
    calls: Counter[str]


def diagnose(trace: Trace, references: Sequence[Sequence[Action]] = (), *, toolbox: Toolbox | None = None) -> list[Fault]:
    """The faults of one trace.

    Args:
        trace: The trace.
        references: The calls of right trajectories, if there are any; the one that fits best counts.
        toolbox: The tools that were offered; by default those of ours that the trace names.
    """
    return _diagnosed(trace, references, toolbox).faults


def _diagnosed(trace: Trace, references: Sequence[Sequence[Action]], toolbox: Toolbox | None) -> _Replay:
    replay = _replay(trace, _offered(tuple(record.name for record in trace.tools)) if toolbox is None else toolbox)
    if not references:
        return replay
    stopped = sum(fault.finding.stops for fault in replay.faults if fault.code != "RAC")
    compared = [_against(replay.ran, reference, stopped) for reference in references]
    nearest: list[Fault] = min(compared, key=_by_missing)
    return replay._replace(faults=replay.faults + nearest)


def diagnose_all(traces: Iterable[Trace], references: Iterable[Trace] = (), *, toolbox: Toolbox | None = None) -> Diagnosis:
    """The faults of many traces. Where a task was run again, its last trace counts.

    Args:
        traces: The traces.
        references: Right traces; several of one task are several right ways.
        toolbox: See `diagnose`.
    """
    gold: dict[str, list[list[Action]]] = {}
    for reference in references:
        gold.setdefault(reference.task.id, []).append([action for step in reference.steps for action in step.actions])
    last = {trace.task.id: trace for trace in traces}
    found = {name: _diagnosed(trace, gold.get(name, ()), toolbox) for name, trace in last.items()}
    compared = {name for name in last if name in gold}
    examples: dict[str, list[Example]] = {}
    for name, replay in found.items():
        for fault in replay.faults:
            kept = examples.setdefault(fault.code, [])
            if len(kept) < EXAMPLES:
                kept.append(Example(trace=name, fault=fault))
    return Diagnosis(
        traces=len(last),
        clean=sum(not replay.faults for replay in found.values()),
        with_reference=len(compared),
        patterns=_rates(list(last), last, found, compared),
        tools=_tool_rates(found.values()),
        sources={
            source: _rates([name for name in last if last[name].task.source == source], last, found, compared)
            for source in sorted({trace.task.source for trace in last.values()})
        },
        examples={code: examples[code] for code in CODES if code in examples},
    )


@functools.cache
def _offered(names: tuple[str, ...]) -> Toolbox:
    """Those of our tools that a trace offered. Calls of foreign ones are not judged."""
    known = Toolbox(all_tools())
    return known.select([name for name in names if name in known])


def _replay(trace: Trace, toolbox: Toolbox) -> _Replay:
    """The faults that need no reference, and the calls that could run, checked as they were made: one after the other."""
    foreign = {record.name for record in trace.tools} - set(toolbox.names)
    images = [f"image-{number}" for number in range(len(trace.task.images))]
    faults: list[Fault] = []
    history: list[Action] = []
    calls: Counter[str] = Counter()
    for number, step in enumerate(trace.steps):
        reply = parse_reply(step.reply)
        faults += [Fault(step=number, tool="", finding=finding) for finding in reply.findings if finding.stops]
        calls.update(action.name for action in reply.actions)
        for index, action in enumerate(reply.actions):
            found = [] if action.name in foreign else toolbox.check(action, images, history)
            # One fault a call, the first in the order of the codes: a misnamed argument is missing under its right name, too.
            worst = sorted(found, key=lambda finding: _ORDER.index(finding.code.partition(".")[0]))[:1]
            faults += [Fault(step=number, tool=action.name, finding=finding) for finding in worst]
            if not found:
                history.append(action)
            images += step.observations[index].images if index < len(step.observations) else ()
    return _Replay(faults, history, calls)


def _against(ran: list[Action], reference: Sequence[Action], stopped: int) -> list[Fault]:
    """IAC and IAV against one reference. A call that a fault stopped was at least tried: it is not counted as missing, too."""
    made, wanted = Counter(action.name for action in ran), Counter(action.name for action in reference)
    missing = Counter({name: count - made[name] for name, count in wanted.items() if count > made[name]})
    faults = []
    if missing.total() > stopped:
        names = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in missing.items())
        finding = Finding(code="IAC", where="steps", message=f"The reference also calls {names}.", hint="Make the missing calls.")
        faults.append(Fault(step=None, tool="", finding=finding))
    for name in wanted:
        unmatched = [action for action in reference if action.name == name and not any(_fits(made_, action) for made_ in ran)]
        for action in unmatched[missing[name] :]:
            given = json.dumps(action.arguments, ensure_ascii=False)
            finding = Finding(code="IAV", where=name, message=f"No call of {name} has the reference's values {given}.")
            faults.append(Fault(step=None, tool=name, finding=finding))
    return faults


def _by_missing(faults: list[Fault]) -> tuple[int, int]:
    codes = Counter(fault.code for fault in faults)
    return codes["IAC"], codes["IAV"]


def _fits(made: Action, wanted: Action) -> bool:
    """The same tool and the values of all arguments that the reference gives; optional ones may be added."""
    given = made.arguments
    return made.name == wanted.name and all(
        name in given and _same_value(given[name], value) for name, value in wanted.arguments.items()
    )


def _same_value(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return "".join(one.split()) == "".join(other.split())
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _rates(names: list[str], traces: dict[str, Trace], found: dict[str, _Replay], compared: set[str]) -> dict[str, Rate]:
    faults = Counter(fault.code for name in names for fault in found[name].faults)
    of = {"IFE": sum(len(traces[name].steps) for name in names), "IAC": len(compared & set(names))}
    calls = sum(found[name].calls.total() for name in names)
    return {code: Rate(faults=faults[code], of=of.get(code, calls)) for code in CODES}


def _tool_rates(replays: Collection[_Replay]) -> dict[str, dict[str, Rate]]:
    calls: Counter[str] = Counter()
    for replay in replays:
        calls += replay.calls
    faults = Counter((fault.tool, fault.code) for replay in replays for fault in replay.faults if fault.tool)
    codes = [code for code in CODES if code not in ("IFE", "IAC")]
    return {tool: {code: Rate(faults=faults[tool, code], of=calls[tool]) for code in codes} for tool in sorted(calls)}
