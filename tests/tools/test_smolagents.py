"""Our tools in the hands of smolagents' own agent, whose model is scripted."""

from typing import Any

import pytest
from PIL import Image, ImageDraw
from smolagents import ToolCallingAgent
from smolagents.models import ChatMessage, ChatMessageToolCall, ChatMessageToolCallFunction, MessageRole, Model

from taco.tools import ToolError, all_tools, tool
from taco.tools.calculator import Calculate
from taco.tools.ocr import make_ocr
from taco.tools.regions import Crop, VisualizeRegionsOnImage, ZoomIn


class Scripted(Model):  # type: ignore[misc]
    """Makes one call after the other and keeps what it was told."""

    def __init__(self, *calls: tuple[str, dict[str, Any]]) -> None:
        super().__init__()
        self.calls, self.told = list(calls), ""

    def generate(self, messages: list[Any], *_: Any, **__: Any) -> ChatMessage:
        self.told = str(messages)
        name, arguments = self.calls.pop(0)
        call = ChatMessageToolCall(id="1", type="function", function=ChatMessageToolCallFunction(name=name, arguments=arguments))
        return ChatMessage(role=MessageRole.ASSISTANT, content="", tool_calls=[call])


def test_an_agent_of_smolagents_reads_and_calculates() -> None:
    board = Image.new("RGB", (240, 80), "white")
    ImageDraw.Draw(board).text((10, 20), "Tea 3.50", fill="black", font_size=36)
    model = Scripted(
        ("Crop", {"image": "board", "bbox": [0, 0, 1, 1]}),
        ("OCR", {"image": "image.png"}),
        ("Calculate", {"expression": "3 * 3.50 +"}),
        ("Calculate", {"expression": "3 * 3.50"}),
        ("final_answer", {"answer": "10.5"}),
    )
    agent = ToolCallingAgent(
        tools=[tool.to_smolagents() for tool in (make_ocr(), Crop, Calculate)], model=model, verbosity_level=0
    )
    assert agent.run("How much are 3 teas?", additional_args={"board": board}) == "10.5"
    assert "{'text': 'Tea 3.50'}" in model.told
    assert "the expression ends where a number is due" in model.told


def test_images_go_in_and_come_out_as_images() -> None:
    image = Image.new("RGB", (40, 30))
    cropped = Crop.to_smolagents()(image=image, bbox=[0, 0, 0.5, 0.5])
    assert isinstance(cropped, Image.Image)
    enlarged = ZoomIn.to_smolagents()(image=cropped, bbox=[0, 0, 1, 1], zoom_factor=2)
    assert enlarged.width > cropped.width
    drawn = VisualizeRegionsOnImage.to_smolagents()(image=cropped, regions=[{"bbox": [0, 0, 0.5, 0.5]}])
    assert drawn.size == cropped.size


def test_images_come_out_wherever_they_stand() -> None:
    @tool
    def Parts(image: Image.Image) -> dict[str, Any]:
        """Cuts.

        Args:
            image: What is cut.
        """
        return {"crop": image.crop((0, 0, 9, 9)), "parts": [{"left": image.crop((0, 0, 5, 5))}], "text": "image-0"}

    found = Parts.to_smolagents()(image=Image.new("RGB", (40, 30)))
    assert found["crop"].size == (9, 9)
    assert found["parts"][0]["left"].size == (5, 5)
    assert found["text"] == "image-0", "text stays text"


def test_every_tool_is_valid_there() -> None:
    adapted = {tool.name: tool.to_smolagents() for tool in all_tools()}
    assert adapted["OCR"].inputs["image"] == {"type": ["image", "object"], "description": "The image to read."}
    assert adapted["OCR"].inputs["boxes"]["nullable"] is True
    assert "- regions: " in adapted["LocalizeObjects"].description


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"image": "/etc/passwd", "bbox": [0, 0, 1, 1]}, "An image is needed"),
        ({"image": Image.new("RGB", (4, 4)), "bbox": [0, 0, 9, 1]}, "less than or equal to 1"),
        ({"image": Image.new("RGB", (4, 4))}, "IAV.missing"),
    ],
)
def test_the_same_checks_hold(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ToolError, match=told):
        Crop.to_smolagents()(**arguments)
