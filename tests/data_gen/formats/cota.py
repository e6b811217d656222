"""Rows as the released CoTA data has them: built from what is documented of its forms, defects included."""

import json
from typing import Any

INSTRUCTION = (
    "[BEGIN OF GOAL]\nYou are a helpful assistant, and your goal is to solve the # USER REQUEST #. You can use: OCR, "
    "LocalizeObjects, GetObjects, Crop, Calculate, Terminate\n[END OF GOAL]"
)
SUFFIX = (
    "\nThe OBSERVATION can be incomplete or incorrect, so be critical. If you have enough information, call Terminate. "
    "Now generate your response for the next step."
)
Call = tuple[str, dict[str, Any]]


def reply(thought: str, *calls: Call) -> str:
    actions = [{"name": name, "arguments": arguments} for name, arguments in calls]
    return json.dumps({"thought": thought, "actions": actions})


def end(answer: Any) -> str:
    return reply("I know it.", ("Terminate", {"answer": answer}))


def request(question: str, inputs: int = 1) -> str:
    images = "".join(f"image-{index}: <image>\n" for index in range(inputs))
    return f"{INSTRUCTION}\n\n# USER REQUEST #:\n{images}{question}\nNow please generate your response:\n"


def observed(value: Any) -> str:
    """As the reference's agent writes it: Python's repr, keys in order of the alphabet."""
    return f"OBSERVATION:\n{dict(sorted(value.items()))!r}{SUFFIX}" if isinstance(value, dict) else f"{value}{SUFFIX}"


def made(number: int) -> str:
    return f"image-{number}: <image>"


def llava(texts: list[str], images: list[str], row_id: Any = "aokvqa-1", **more: Any) -> dict[str, Any]:
    turns = [{"from": "gpt" if place % 2 else "human", "value": text} for place, text in enumerate(texts)]
    about = {"dataset": "aokvqa", "task_instruction": INSTRUCTION}
    return {"sample_id": row_id, "image": images, "metadata": about, "conversations": turns, "choice_list": None, **more}


def mantis(row: dict[str, Any]) -> dict[str, Any]:
    turns = [
        {"role": "assistant" if turn["from"] == "gpt" else "user", "content": turn["value"]} for turn in row["conversations"]
    ]
    return {"id": row["sample_id"], "conversations": turns, "metadata": row["metadata"], "images": row["image"]}


REGIONS = [
    {"label": "mug", "bbox": [0.1, 0.2, 0.3, 0.4], "score": 0.61},
    {"label": "mug-2", "bbox": [0.5, 0.2, 0.8, 0.4], "score": 0.5},
]


def localize(inputs: int = 1) -> list[str]:
    """The first three turns of a row that counts mugs."""
    return [
        request("How many mugs?", inputs),
        reply("I look for mugs.", ("LocalizeObjects", {"image": "image-0", "objects": ["mug"]})),
        observed({"image": made(inputs), "regions": REGIONS}),
    ]


def depth_row(answer: str, question: str = "Which is closer to the camera, the mug or the mug-2?") -> dict[str, Any]:
    texts = [request(question), *localize()[1:]]
    for region, depth in zip(REGIONS, (3.2, 1.4), strict=True):
        texts += [
            reply("I need its depth.", ("EstimateRegionDepth", {"image": "image-0", "bbox": region["bbox"]})),
            observed({"depth": depth}),
        ]
    return llava([*texts, end(answer)], ["a.jpg", "b.jpg"])
