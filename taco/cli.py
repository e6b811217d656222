"""The command ``taco``.

$ taco ask board.png "How much are 3 teas?"
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from taco.console import BAD_USE, FAILED, check_picture, fail, plain_errors, progress

if TYPE_CHECKING:
    from taco.agent import Agent, Finished
    from taco.tools import Tool
    from taco.trace import Task

app = typer.Typer(
    name="taco",
    help="Visual questions that need several steps: a multimodal model thinks, calls tools and answers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
tools_app = typer.Typer(help="The tools: what there is, what can run here, and one alone.")
app.add_typer(tools_app, name="tools")

Model = Annotated[str, typer.Option("--model", "-m", help="nano, a directory, a hub id, or openai:NAME.")]
Adapter = Annotated[Optional[Path], typer.Option(help="A LoRA adapter's directory.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps ...")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
BaseUrl = Annotated[Optional[str], typer.Option(help="Address of the endpoint, for openai:NAME.")]
MaxSteps = Annotated[int, typer.Option(min=1, help="Replies of one run.")]
OwnTools = Annotated[
    Optional[list[str]], typer.Option("--tools", metavar="MODULE:ATTRIBUTE", help="Also offer tools of your own.")
]
Constrained = Annotated[
    bool, typer.Option("--constrained", help="Let the model write valid steps only (needs taco-lmm[constrained]).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


@app.callback(invoke_without_command=True)
def main(context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from taco import __version__

        typer.echo(f"taco {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(BAD_USE)


@app.command(no_args_is_help=True)
def ask(
    what: Annotated[list[str], typer.Argument(metavar="IMAGE... QUESTION", help="Image files, then the question.")],
    model: Model = "nano",
    save: Annotated[Optional[Path], typer.Option(help="Append the trace to this folder.")] = None,
    sheet: Annotated[Optional[Path], typer.Option(help="Draw the trace with its images to this file, such as sheet.png.")] = None,
    as_json: AsJson = False,
    adapter: Adapter = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    base_url: BaseUrl = None,
    max_steps: MaxSteps = 10,
    own_tools: OwnTools = None,
    constrained: Constrained = False,
    allow_urls: Annotated[bool, typer.Option("--allow-urls", help="Let an image be given by its URL.")] = False,
) -> None:
    """Ask a question about images and see how it is answered, step by step.

    Example: taco ask board.png "How much are 3 teas?"
    """
    from taco.agent import Finished

    *images, question = what
    if os.path.isfile(question):  # never raises, however long the question
        fail(f"the last argument is the question, and {question} is a file. Put the question last, in quotes.")
    with plain_errors():
        if sheet is not None:
            check_picture(sheet)
        agent = _agent(model, adapter, device, dtype, base_url, max_steps, own_tools, constrained, allow_urls)
        finished: Finished | None = None
        for event in agent.stream(question, images):
            if isinstance(event, Finished):
                finished = event
            elif not as_json:
                _show(event)
        assert finished is not None
        if as_json:
            typer.echo(finished.trace.to_json())
        elif finished.trace.answer is not None:
            typer.secho(f"Answer: {finished.trace.answer}", bold=True)
        if save is not None:
            finished.trace.save(save)
        if sheet is not None:
            from taco.sheet import draw_sheet

            sheet.parent.mkdir(parents=True, exist_ok=True)
            draw_sheet(finished.trace).save(sheet)
            if not as_json:
                typer.echo(f"Drawn: {sheet}")
    if finished.trace.answer is None:
        fail(f"no answer: {finished.error or _why(finished)}", FAILED)


@app.command(no_args_is_help=True)
def run(
    tasks: Annotated[Path, typer.Argument(help="JSONL, one task a line; image files relative to it.")],
    out: Annotated[Path, typer.Option(help="Folder for the traces. An interrupted run goes on there.")],
    model: Model = "nano",
    adapter: Adapter = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    base_url: BaseUrl = None,
    max_steps: MaxSteps = 10,
    own_tools: OwnTools = None,
    constrained: Constrained = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Tasks that are worked on at a time.")] = 8,
    limit: Annotated[Optional[int], typer.Option(min=1, help="Only the first so many tasks.")] = None,
    as_json: AsJson = False,
) -> None:
    """Answer every task of a file; tasks that are answered already are passed over, failed ones are tried again."""
    with plain_errors():
        from taco.evaluation.running import run_tasks, unfinished
        from taco.trace import read_tasks

        wanted = list(read_tasks(tasks))[:limit]
        _distinct(wanted)
        agent = _agent(model, adapter, device, dtype, base_url, max_steps, own_tools, constrained)
        left, failed, tokens, start = unfinished(wanted, out, agent.model.name), 0, 0, time.perf_counter()
        if left:
            with progress(len(left), "tasks") as advance:
                for record in run_tasks(agent, left, out, batch_size):
                    failed += record["stop_reason"] == "failed"
                    tokens += record["completion_tokens"]
                    advance()
        seconds = time.perf_counter() - start
    speed = {"tasks_per_minute": round(60 * len(left) / seconds, 1), "tokens_per_second": round(tokens / seconds, 1)}
    summary = {"tasks": len(wanted), "done_before": len(wanted) - len(left), "run": len(left), "failed": failed}
    pace = f" in {seconds:.0f} s ({speed['tasks_per_minute']:g} a minute, {speed['tokens_per_second']:g} tokens a second)"
    text = f"{len(left)} tasks run{pace}, {len(wanted) - len(left)} done before, {failed} failed -> {out}"
    _print(summary | {"seconds": round(seconds, 1)} | speed, text, as_json)
    if failed:
        fail(f"{failed} tasks failed; {out}/runs.jsonl says why. The same command tries them again.", FAILED)


@app.command(name="eval", no_args_is_help=True)
def evaluate_folder(
    folder: Annotated[Path, typer.Argument(help="A folder with traces.jsonl.")],
    tolerance: Annotated[float, typer.Option(min=0, help="Relative tolerance between numbers.")] = 1e-6,
    as_json: AsJson = False,
) -> None:
    """Score the answers of a folder of traces against those of its tasks."""
    with plain_errors():
        from taco.evaluation import evaluate
        from taco.trace import read_traces

        report = evaluate(read_traces(folder), tolerance=tolerance)
        if report.traces == 0:
            fail(f"{folder} holds no trace whose task has an answer; nothing can be scored.", FAILED)
    _print(report.model_dump() | {"accuracy": report.accuracy}, report.to_text(), as_json)


@app.command(no_args_is_help=True)
def diagnose(
    folder: Annotated[Path, typer.Argument(help="A folder with traces.jsonl.")],
    reference: Annotated[
        Optional[Path], typer.Option(help="A folder of right traces; several of a task are several ways.")
    ] = None,
    out: Annotated[Optional[Path], typer.Option(help="Also write the report there: FILE.json or FILE.html.")] = None,
    as_json: AsJson = False,
) -> None:
    """Count what goes wrong in traces, by SpecTool's seven patterns."""
    with plain_errors():
        from taco.diagnosis import diagnose_all
        from taco.trace import read_traces

        if out is not None and out.suffix not in (".json", ".html"):
            fail(f"--out is {out}; a name that ends in .json or .html is needed.")
        report = diagnose_all(read_traces(folder), read_traces(reference) if reference else ())
        if report.traces == 0:
            fail(f"{folder} holds no trace; nothing can be diagnosed.", FAILED)
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(report.to_html() if out.suffix == ".html" else report.model_dump_json(indent=1) + "\n")
    _print(report.model_dump(), report.to_text(), as_json)


@app.command(no_args_is_help=True)
def train(
    config: Annotated[Path, typer.Argument(help="YAML; see docs/training.md.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
) -> None:
    """Fine-tune a model on traces: wholly, or a LoRA adapter."""
    with plain_errors():
        from taco.training import run_config

        out = run_config(config, resume=resume)
    typer.echo(f"Saved in {out}. Use it: taco ask --model {out} IMAGE QUESTION")


@app.command(no_args_is_help=True)
def convert_checkpoint(
    source: Annotated[str, typer.Argument(metavar="SRC", help="A directory or hub id in the released layout.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="A directory that does not exist or is empty.")],
    as_json: AsJson = False,
) -> None:
    """Write a released xGen-MM v1.5 checkpoint as a native model directory."""
    with plain_errors():
        from transformers.utils import logging

        from taco.xgenmm.convert_checkpoint import convert_checkpoint as convert

        if not sys.stderr.isatty():
            logging.disable_progress_bar()
        try:
            made = convert(source, target)
        except NotImplementedError as error:
            fail(error)
    text = f"{made['parameters']:,} parameters ({made['dtype']}), {made['tokens']:,} tokens -> {target}"
    _print(made, f"{text}\nUse it: taco ask --model {target} IMAGE QUESTION", as_json)


@app.command()
def mcp(
    images: Annotated[Optional[Path], typer.Option(help="A folder whose images are there from the start.")] = None,
    own_tools: OwnTools = None,
) -> None:
    """Serve the tools to another program over standard input and output (Model Context Protocol)."""
    with plain_errors():
        from taco.tools import ImageStore, Toolbox, default_toolbox

        try:
            from taco.tools.mcp import images_in, serve
        except ModuleNotFoundError as error:
            fail(str(error), FAILED)
        files = images_in(images) if images else []
        toolbox, store = Toolbox([*default_toolbox(), *_own(own_tools)]), ImageStore(files)
        serve(toolbox, store, [file.name for file in files])


@app.command()
def serve(
    model: Model = "nano",
    adapter: Adapter = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    name: Annotated[Optional[str], typer.Option(help="What clients call the model; by default its own name.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for other machines too.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 8000,
    max_batch: Annotated[int, typer.Option(min=1, help="Requests generated together.")] = 8,
    api_key: Annotated[
        Optional[str],
        typer.Option(envvar="TACO_API_KEY", show_envvar=True, help="Clients must send it. Others may see a command line."),
    ] = None,
    allow_urls: Annotated[bool, typer.Option("--allow-urls", help="Fetch images that clients give by URL.")] = False,
) -> None:
    """Serve a model as an OpenAI-compatible chat endpoint, until Ctrl-C."""
    with plain_errors():
        try:
            from taco.serving import serve as serve_model
        except ModuleNotFoundError as error:
            fail(str(error), FAILED)
        from taco.models import load_model

        loaded = load_model(model, adapter=adapter, device=device, dtype=dtype)
        if name is None and os.path.isdir(model):  # clients need not know this machine's folders
            name = os.path.basename(os.path.abspath(model))
        options = {"name": name, "max_batch": max_batch, "api_key": api_key, "allow_urls": allow_urls}
        serve_model(loaded, host=host, port=port, say=typer.echo, **options)


@tools_app.callback(invoke_without_command=True)
def tools(context: typer.Context, own_tools: OwnTools = None, as_json: AsJson = False) -> None:
    """List the tools: name, back end, and whether it can run here."""
    if context.invoked_subcommand is not None:
        return
    from taco.tools import all_tools

    with plain_errors():
        rows = [(item, item.unavailable()) for item in [*all_tools(), *_own(own_tools, able=False)]]
    if as_json:
        table = [item.schema()["function"] | {"backend": item.backend, "unavailable": remedy} for item, remedy in rows]
        typer.echo(json.dumps(table, ensure_ascii=False))
        return
    width = max(len(item.name) for item, _ in rows)
    for item, remedy in rows:
        typer.echo(f"{item.name:<{width}}  {'ready' if remedy is None else 'absent':<6}  {item.backend}")
        if about := remedy or item.note:
            typer.secho(f"{'':<{width}}          {about}", dim=True)


@tools_app.command(name="run", no_args_is_help=True)
def run_tool(
    name: Annotated[str, typer.Argument(help="The tool's name, for example OCR.")],
    arguments: Annotated[
        Optional[list[str]], typer.Argument(metavar="KEY=VALUE...", help="image=FILE for an image; JSON else.")
    ] = None,
    save: Annotated[Optional[Path], typer.Option(help="Folder for the images that the tool makes.")] = None,
    own_tools: OwnTools = None,
    as_json: AsJson = False,
) -> None:
    """Run one tool alone and print its observation."""
    from taco.tools import Action, ImageStore, Toolbox, all_tools
    from taco.tools.regions import VisualizeRegionsOnImage  # not offered to models, but a person may want it

    with plain_errors():
        images = ImageStore()
        toolbox = Toolbox([*all_tools(), VisualizeRegionsOnImage, *_own(own_tools, able=False)]).select([name])
        if remedy := toolbox[name].unavailable():
            fail(f"{name} cannot run here. {remedy}", FAILED)
        values = _tool_arguments(toolbox[name], arguments or [], images)
        inputs, start = len(images), time.perf_counter()
        observation = toolbox.execute(Action(name=name, arguments=values), images)
        seconds = time.perf_counter() - start
        saved = [_save_image(images, made, save) for made in observation.images] if save else []
    typer.echo(observation.to_json())
    if not as_json:
        made = (
            f", {len(images) - inputs} image(s) made" + (f": {', '.join(saved)}" if saved else "") if observation.images else ""
        )
        typer.secho(f"{seconds:.2f} s{made}", dim=True, err=True)
    if observation.error is not None:
        raise typer.Exit(FAILED)


def _agent(
    model: str,
    adapter: Path | None,
    device: str,
    dtype: str,
    base_url: str | None,
    max_steps: int,
    own_tools: list[str] | None,
    constrained: bool = False,
    allow_urls: bool = False,
) -> "Agent":
    from taco.agent import Agent
    from taco.models import load_model
    from taco.tools import Toolbox

    own = _own(own_tools)  # before the model: a misspelt name should not take its time
    agent = Agent(
        load_model(model, adapter=adapter, device=device, dtype=dtype, base_url=base_url),
        max_steps=max_steps,
        allow_urls=allow_urls,
        constrained=constrained,
    )
    agent.toolbox = Toolbox([*agent.toolbox, *own])
    return agent


def _own(where: list[str] | None, *, able: bool = True) -> "list[Tool]":
    """A person's own tools; with ``able`` those that can run, and a word about the others."""
    from taco.tools import load_tools

    tools = [item for each in where or [] for item in load_tools(each)]
    remedies = [(item, item.unavailable()) for item in tools]
    if able:
        for item, remedy in remedies:
            if remedy is not None:
                typer.secho(f"{item.name} is not offered: {remedy}", dim=True, err=True)
    return [item for item, remedy in remedies if remedy is None or not able]


def _show(event: Any) -> None:
    from taco.agent import Replied
    from taco.parser import parse_reply

    if isinstance(event, Replied):
        reply = parse_reply(event.text)
        typer.secho(f"Step {event.step + 1}  ", fg="cyan", bold=True, nl=False)
        typer.echo(reply.thought.replace("\n", "\n        ") or "(no thought)")
        if not reply.actions:
            typer.secho(f"        {event.text}", fg="red")
        return
    typer.secho(f"        {event.action}", fg="yellow")
    if event.action.name != "Terminate" or event.observation.error is not None:
        typer.secho(f"        -> {event.observation.to_json()}", fg="red" if event.observation.error else "green")


def _why(finished: "Finished") -> str:
    reasons = {
        "max_steps": "the model did not terminate within its steps; allow more with --max-steps",
        "faulty": "the model's replies could not be used, several times in a row",
    }
    return reasons.get(finished.trace.stop_reason, finished.trace.stop_reason)


def _distinct(tasks: list["Task"]) -> None:
    seen: set[str] = set()
    for task in tasks:
        if task.id in seen:
            fail(f"two tasks have the id {task.id!r}; ids name the traces, so make them distinct.")
        seen.add(task.id)


def _print(record: dict[str, Any], text: str, as_json: bool) -> None:
    typer.echo(json.dumps(record, ensure_ascii=False) if as_json else text)


def _tool_arguments(tool: Any, pairs: list[str], images: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"{pair!r} is not KEY=VALUE. Example: taco tools run OCR image=board.png")
        if key in tool.image_arguments:
            values[key] = images.add(value)
        else:
            values[key] = _json_or_text(value, tool.schema()["function"]["parameters"]["properties"].get(key, {}))
    return values


def _json_or_text(value: str, schema: dict[str, Any]) -> Any:
    if schema.get("type") == "string":
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _save_image(images: Any, name: str, folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{images.sha256(name)[:16]}.png"
    images[name].save(path)
    return str(path)
