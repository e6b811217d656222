"""Parquet for `datasets`: messages with image placeholders, the images themselves, the tools' schemas, and the whole trace.

>>> rows = load_dataset("OUT", split="train")
>>> prepare_multimodal_messages(rows[0]["messages"], rows[0]["images"])      # as TRL's SFTTrainer does

``tools`` is JSON text, since the parameters of two tools have no common Arrow type; TRL parses it. ``trace`` is the line of
``traces.jsonl``, so that nothing is lost; without that column the trace is read from the messages.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taco.data_gen.formats.form import IMPORTED, Draft, Facts, Form, Row, Schemas, image_list, json_value, parsed
from taco.data_gen.formats.turns import read_turns, shown_images, text_of, to_messages
from taco.trace import ToolRecord, Trace

if TYPE_CHECKING:
    from datasets import Features

SHARD_BYTES = 500_000_000
"""Of images and text in one file."""
GROUP_BYTES = 32_000_000
"""Of a row group, which is what a reader holds in memory."""
BATCH = 16
"""Rows that are read at a time."""


def _write(trace: Trace, schemas: Schemas) -> Row:
    messages = to_messages(trace)
    shown = shown_images(trace)
    return {
        "id": trace.task.id,
        "source": trace.task.source,
        "answer": trace.task.answer,
        "messages": messages,
        "images": [trace.images[name].file for name in shown],
        "tools": json.dumps(schemas.of(trace), ensure_ascii=False),
        "unshown_images": [file.file for name, file in trace.images.items() if name not in shown],
        "trace": trace.to_json(),
    }


def _read(row: Row) -> Draft:
    images = [*image_list(row["images"]), *image_list(row.get("unshown_images"))]
    if isinstance(row.get("trace"), str):
        return Draft(parsed(Trace, row["trace"], "trace"), tuple(images))
    texts = [text_of(message["content"]) for message in row["messages"] or () if message["role"] != "system"]
    tools = json_value(row.get("tools") or "[]", "tools")
    records = tuple(ToolRecord(name=tool["function"]["name"], backend=IMPORTED) for tool in tools)
    facts = Facts(answer=row.get("answer"), tools=records)
    return read_turns(texts, images, row_id=row.get("id"), source=row.get("source"), facts=facts)


PARQUET = Form("parquet", "data", ("messages", "images"), _write, _read)


def features() -> "Features":
    """The columns."""
    from datasets import Features, Image, List, Value

    text = Value("string")
    messages = List({"role": text, "content": List({"type": text, "text": text})})
    return Features(
        {
            "id": text, "source": text, "answer": text, "messages": messages, "images": List(Image()),
            "tools": text, "unshown_images": List(Image()), "trace": text,
        }
    )  # fmt: skip


class Shards:
    """Writes rows into ``folder/data/train-00000-of-N.parquet`` ...; memory holds one row group.

    >>> with Shards(source, out) as shards:
    ...     shards.add(row)

    Args:
        source: The folder that the rows' image files are relative to.
        folder: Where to write.
    """

    def __init__(self, source: Path, folder: Path) -> None:
        self._source, self._data = source, folder / PARQUET.file
        self._data.mkdir()
        self._schema = features().arrow_schema
        self._rows: list[Row] = []
        self._writer: Any = None
        self._held = self._written = self._count = 0

    def __enter__(self) -> "Shards":
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is None:
            self._flush()
        if self._writer is not None:
            self._writer.close()
        if kind is None:
            for index in range(self._count):
                self._shard(index).rename(self._data / f"train-{index:05d}-of-{self._count:05d}.parquet")

    def add(self, row: Row) -> None:
        """One row; its images are read from their files."""
        images = {column: [self._image(file) for file in row[column]] for column in ("images", "unshown_images")}
        self._held += len(row["trace"]) + sum(len(image["bytes"]) for column in images.values() for image in column)
        self._rows.append(row | images)
        if self._held >= GROUP_BYTES:
            self._flush()

    def _image(self, file: str) -> Row:
        path = self._source / file
        return {"bytes": path.read_bytes(), "path": path.name}

    def _flush(self) -> None:
        import pyarrow
        import pyarrow.parquet

        if not self._rows:
            return
        if self._writer is None or self._written >= SHARD_BYTES:
            if self._writer is not None:
                self._writer.close()
            self._writer, self._written = pyarrow.parquet.ParquetWriter(self._shard(self._count), self._schema), 0
            self._count += 1
        self._writer.write_table(pyarrow.Table.from_pylist(self._rows, schema=self._schema))
        self._written += self._held
        self._rows, self._held = [], 0

    def _shard(self, index: int) -> Path:
        return self._data / f"train-{index:05d}.parquet"


def read_rows(file: Path) -> Iterator[Row]:
    """The rows of one file, some at a time. Raises ValueError if it is no Parquet."""
    import pyarrow
    import pyarrow.parquet

    try:
        for batch in pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=BATCH):
            yield from batch.to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{file} cannot be read as Parquet: {error}. Fetch it again.") from None
