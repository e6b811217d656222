"""What a model was trained with: the file ``taco_agent.json`` in its directory.

>>> AgentRecord.read("taco/nano").tools[0].name
'OCR'
"""

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from taco.prompts import SystemStyle
from taco.trace import ToolRecord

FILE = "taco_agent.json"


class AgentRecord(BaseModel):
    """The tools, back ends and prompt of a model's training. The agent offers exactly these tools.

    Attributes:
        tools: In the order of the prompt.
        system: Style of the system prompt.
        renderer: How steps were written; ``cota`` is JSON in the assistant's text.
        trained_on: The data, in words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tools: tuple[ToolRecord, ...]
    system: SystemStyle = "short"
    renderer: Literal["cota"] = "cota"
    trained_on: str = ""

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> "AgentRecord | None":
        """The record of a model's directory; None if it has none.

        Raises:
            ValueError: If the file is there and cannot be read.
        """
        path = Path(folder) / FILE
        if not path.is_file():
            return None
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (ValidationError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not a record of an agent's training: {error}") from None

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write the record into a model's directory."""
        (Path(folder) / FILE).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
