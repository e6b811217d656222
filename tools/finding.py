"""What is wrong with a call: SpecTool's seven codes (arXiv 2411.13547), one record for agent, generator and report.

>>> Finding(code="IFN", where="name", message="There is no tool named 'Ocr'.", hint="Did you mean OCR?")
"""

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field

CODES = {
    "IFE": "invalid format: the reply is not the demanded JSON object",
    "IFN": "incorrect function name: no such tool",
    "IAN": "incorrect argument name: the tool has no such argument",
    "IAT": "incorrect argument type",
    "IAV": "incorrect argument value, or a required argument is missing",
    "RAC": "repeated API call: the same call was made before",
    "IAC": "insufficient API calls: a call that the reference makes is missing",
}
"""The seven patterns. A code may be refined behind a point, for example ``IAV.missing``."""


class Finding(BaseModel):
    """One fault: its code, where it stands (``arguments.image``), what was found and what to do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str = Field(pattern=rf"^({'|'.join(CODES)})(\.[a-z_]+)?$")
    where: str
    message: str
    hint: str = ""

    @property
    def stops(self) -> bool:
        """Whether the call must not run: everything but a format that could be mended."""
        return self.code != "IFE.repaired"


MAX_TOLD = 3


def feedback(findings: Iterable[Finding]) -> str:
    """What the model is told, one sentence after the other; of many faults the first `MAX_TOLD`, and how many more there are."""
    told = [f"{finding.code}: {finding.message} {finding.hint}".strip() for finding in findings if finding.stops]
    more = [f"And {len(told) - MAX_TOLD} more."] if len(told) > MAX_TOLD else []
    return " ".join([*told[:MAX_TOLD], *more])
