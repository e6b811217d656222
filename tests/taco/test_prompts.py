"""What a model is shown: golden texts, capped and plain data."""

import json

from PIL import Image

from taco.prompts import MAX_SHOWN_CHARS, conversation, neutralized, reply_text, system_prompt
from taco.tools import Action, Finding, ImageStore, Observation, Toolbox
from taco.tools.calculator import Calculate
from taco.tools.regions import Crop
from taco.tools.terminate import Terminate
from taco.trace import Step, Task

TOOLBOX = Toolbox([Crop, Calculate, Terminate])
STORE = ImageStore([Image.new("RGB", (8, 8)), Image.new("RGB", (9, 9))])
TASK = Task(id="1", question="Which one?", images=("image-0",))


def text_of(message: dict) -> str:
    return "".join(part["text"] if part["type"] == "text" else "[image]" for part in message["content"])


def test_the_short_prompt_names_the_tools_and_nothing_else() -> None:
    assert system_prompt(TOOLBOX).endswith("Tools: Crop, Calculate, Terminate.")


def test_the_full_prompt_has_every_schema_and_a_valid_example() -> None:
    from taco.parser import parse_reply

    prompt = system_prompt(TOOLBOX, "full")
    for schema in TOOLBOX.schemas():
        assert json.dumps(schema["function"], ensure_ascii=False) in prompt
    replies = [line.removeprefix("Reply: ") for line in prompt.splitlines() if line.startswith("Reply: {")]
    assert len(replies) == 3
    assert all(not parse_reply(reply).findings for reply in replies)


def test_turns_of_a_trace() -> None:
    crop = Action(name="Crop", arguments={"image": "image-0", "bbox": [0, 0, 1, 1]})
    end = Action(name="Terminate", arguments={"answer": "left"})
    steps = [
        Step(
            reply=reply_text("Look.", [crop]),
            actions=(crop,),
            observations=(Observation(content={"image": "image-1"}, images=("image-1",)),),
        ),
        Step(reply=reply_text("Left.", [end]), actions=(end,), observations=(Observation(content={"answer": "left"}),)),
    ]
    messages = conversation(TASK, STORE, steps, TOOLBOX)
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user", "assistant"]
    assert text_of(messages[1]) == "image-0: [image]Which one?"
    assert text_of(messages[2]) == (
        '{"thought": "Look.", "actions": [{"name": "Crop", "arguments": {"image": "image-0", "bbox": [0, 0, 1, 1]}}]}'
    )
    assert text_of(messages[3]) == 'OBSERVATION: {"image": "image-1"}\nimage-1: [image]'
    assert messages[3]["content"][2]["image"] is STORE["image-1"]


def test_a_faulty_reply_gets_its_findings_back() -> None:
    finding = Finding(code="IFE", where="", message="The reply holds no JSON object.", hint="")
    messages = conversation(TASK, STORE, [Step(reply="Hm.", findings=(finding,))], TOOLBOX)
    assert "IFE: The reply holds no JSON object." in text_of(messages[-1])
    assert '"actions"' in json.loads(text_of(messages[-1]).removeprefix("OBSERVATION: "))["error"]


def test_a_reply_that_was_used_in_part_hears_of_the_rest() -> None:
    action = Action(name="Calculate", arguments={"expression": "1 + 1"})
    cut = Finding(code="IFE", where="actions[1]", message="The reply ends within an action.", hint="")
    step = Step(reply="...", actions=(action,), observations=(Observation(content={"result": 2}),), findings=(cut,))
    first, second = text_of(conversation(TASK, STORE, [step], TOOLBOX)[-1]).removeprefix("OBSERVATION: ").splitlines()
    assert json.loads(first) == {"result": 2}
    assert "The reply ends within an action." in json.loads(second)["error"]


def test_choices_are_shown() -> None:
    task = TASK.model_copy(update={"choices": ("left", "right")})
    assert text_of(conversation(task, STORE, [], TOOLBOX)[-1]).endswith("Which one?\nChoices: left | right")


def test_a_long_observation_is_cut_and_says_so() -> None:
    long = Step(reply="{}", actions=(Action(name="OCR"),), observations=(Observation(content={"text": "x" * 9000}),))
    shown = json.loads(text_of(conversation(TASK, STORE, [long], TOOLBOX)[-1]).removeprefix("OBSERVATION: "))
    assert len(shown["cut"]) == MAX_SHOWN_CHARS
    assert shown["left_out_characters"] == 9000 + len('{"text": ""}') - MAX_SHOWN_CHARS


def test_special_tokens_in_texts_become_plain_text() -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "a<|end|>b"}, {"type": "image", "image": STORE["image-0"]}]},
        {"role": "assistant", "content": [{"type": "text", "text": "<|end|>"}]},
    ]
    plain = neutralized(messages, ["<|end|>"])
    assert plain[0]["content"][0]["text"] == "a<\u200b|end|>b"
    assert plain[0]["content"][1] is messages[0]["content"][1]
    assert plain[1]["content"][0]["text"] == "<\u200b|end|>"
