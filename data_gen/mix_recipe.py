"""What a mix is made of, in YAML: parts with their shares, and the folders that they are taken from.

>>> read_recipe("cota+cot", {"model": ["data/clean"]}, total=1000).parts[0].share
293.0

The presets are the rows of the paper (TACO, section 5); their shares are its sizes in thousands.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

PRESETS = Path(__file__).parent / "recipes"


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(_Settings):
    """A share of the mix.

    Attributes:
        source: A name of `MixRecipe.sources`.
        format: Which traces; see `taco.data_gen.selection.kind`. ``direct``: where the source holds none that fit, they are made
            from the right answers of its other traces, as one Terminate step.
        match, exclude: Patterns (``chartqa*``) of ``task.source``: one of the first must fit, none of the second may.
        share: Of the mix, relative to the other parts' shares.
        cap_per_source: At most so many traces of one ``task.source``.
        cap_per_image: At most so many traces about the same input images.
    """

    source: str
    format: Literal["any", "cota", "cot", "direct"] = "any"
    match: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    share: float = Field(gt=0, allow_inf_nan=False)
    cap_per_source: int | None = Field(default=None, ge=1)
    cap_per_image: int | None = Field(default=None, ge=1)

    @field_validator("match", "exclude", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    def fits(self, source: str) -> bool:
        """Whether a ``task.source`` is wanted."""
        return any(fnmatchcase(source, pattern) for pattern in self.match) and not any(
            fnmatchcase(source, pattern) for pattern in self.exclude
        )

    @property
    def title(self) -> str:
        """For people: ``cota of model``."""
        only = "" if self.match == ("*",) else f" ({', '.join(self.match)})"
        return f"{'all' if self.format == 'any' else self.format} of {self.source}{only}"


class MixRecipe(_Settings):
    """A mix.

    Attributes:
        parts: What it is made of.
        sources: Folders of traces by name.
        total: Traces, train and validation together; None for the most that the shares allow.
        seed: Equal seeds take equal traces.
        validation: Share of the traces that is kept out of training; no image is on both sides.
    """

    parts: tuple[Part, ...] = Field(min_length=1)
    sources: dict[str, tuple[str, ...]]
    total: int | None = Field(default=None, ge=1)
    seed: int = 0
    validation: float = Field(default=0.05, ge=0, lt=1)

    @field_validator("sources", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: [folders] if isinstance(folders, str) else folders for name, folders in value.items()}
        return value

    @model_validator(mode="after")
    def _all_have_folders(self) -> "MixRecipe":
        wanted = dict.fromkeys(part.source for part in self.parts)
        for name in self.sources:
            if name not in wanted:
                raise ValueError(f"no part takes from the source {name!r}; the parts take from {', '.join(wanted)}")
        for name in wanted:
            if not self.sources.get(name):
                raise ValueError(f"the source {name!r} has no folder: give --source {name}=DIR, or name it under 'sources'")
        return self

    def folders(self) -> dict[str, tuple[str, Path]]:
        """The source and folder by label: the source's name, with ``.1``, ``.2`` ... behind it where it has several folders."""
        return {
            name if len(folders) == 1 else f"{name}.{number}": (name, Path(folder))
            for name, folders in sorted(self.sources.items())
            for number, folder in enumerate(folders, start=1)
        }


def presets() -> list[str]:
    """The names of the packaged recipes."""
    return sorted(file.stem for file in PRESETS.glob("*.yaml"))


def read_recipe(name: str | Path, sources: Mapping[str, Sequence[str]] | None = None, **changes: Any) -> MixRecipe:
    """A recipe from a file or preset. Folders in it are relative to the current directory, as on a command line.

    Args:
        name: A preset's name, or the path of a YAML file.
        sources: Folders by source, in place of the recipe's own of that name. The name "" stands for the only source.
        changes: ``total``, ``seed``, ``validation`` in place of the recipe's; None leaves it.

    Raises:
        ValueError: If there is no such recipe, it is no YAML mapping, or a value is wrong.
    """
    file = PRESETS / f"{name}.yaml" if name in presets() else Path(name)
    values = _read_yaml(file)
    values |= {key: value for key, value in changes.items() if value is not None}
    values["sources"] = {**(values.get("sources") or {}), **_named(sources or {}, values, file)}
    try:
        return MixRecipe.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{file}: " + " ".join(_sentence(dict(fault)) for fault in error.errors(include_url=False))) from None


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"There is no file {file}. The presets are: {', '.join(presets())}.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{file} cannot be read as YAML: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{file} holds {type(values).__name__}; a recipe is a mapping with 'parts'.")
    return values


def _named(sources: Mapping[str, Sequence[str]], values: dict[str, Any], file: Path) -> dict[str, Sequence[str]]:
    """The folders by name, where "" stands for the only source that the recipe's parts take from."""
    if "" not in sources:
        return dict(sources)
    parts = values.get("parts")
    names = sorted({str(part.get("source")) for part in parts if isinstance(part, dict)}) if isinstance(parts, list) else []
    if len(names) != 1 or len(sources) > 1:
        raise ValueError(f"{file} takes from {', '.join(names) or 'no source'}: say which folder is which, --source NAME=DIR.")
    return {names[0]: sources[""]}


def _sentence(fault: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        fields = Part.model_fields if where.startswith("parts.") else MixRecipe.model_fields
        return f"{where!r} is no setting; the settings are: {', '.join(fields)}."
    if fault["type"] == "missing":
        return f"{where!r} is missing; add it."
    message = fault["msg"].removeprefix("Value error, ")
    return f"{where}: {message}, got {fault['input']!r}." if where else f"{message}."
