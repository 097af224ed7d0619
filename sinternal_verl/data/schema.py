"""The one schema of our RL files, and a writer that leaves a whole file or none.

verl concatenates its data files, and loading fails where a column has different types in two of them.
So every file that this package writes for verl's RL main has `RL_SCHEMA`: ground truth and index are
always strings, and no column is missing or null.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

RL_SCHEMA = pa.schema(
    [
        ("data_source", pa.string()),
        ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("ability", pa.string()),
        ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
        ("extra_info", pa.struct([("index", pa.string()), ("split", pa.string()), ("question", pa.string())])),
    ]
)

PROVENANCE = "sinternal_verl"
"""Key in the parquet file's metadata; its value is the origin of the rows, as JSON."""

ROW_GROUP = 10_000


def rl_row(
    *,
    data_source: str,
    content: str,
    ground_truth: str,
    index: str,
    split: str,
    ability: str = "math",
    style: str = "rule",
) -> dict[str, Any]:
    """One row of `RL_SCHEMA`, whose prompt is one user message.

    >>> row = rl_row(data_source="math", content="1+1?", ground_truth="2", index="0", split="train")
    >>> row["prompt"], row["reward_model"]
    ([{'role': 'user', 'content': '1+1?'}], {'style': 'rule', 'ground_truth': '2'})
    """
    return {
        "data_source": data_source,
        "prompt": [{"role": "user", "content": content}],
        "ability": ability,
        "reward_model": {"style": style, "ground_truth": ground_truth},
        # The prompt once more, because verl's own reward managers hand a function no other copy of it.
        "extra_info": {"index": index, "split": split, "question": content},
    }


class PartialFile:
    """A file beside ``target`` that replaces it when it is published, and is removed otherwise.

    So a run that fails or is interrupted leaves the target as it was.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        # Not `tempfile`: only their owner could read its files, also after they are published.
        self.path = target.with_name(f".{target.name}.{os.getpid()}.partial")

    def publish(self) -> None:
        """Replace the target. The file is on the disk first, so that a power cut leaves the old one or this one."""
        _sync(self.path)
        os.replace(self.path, self.target)
        with suppress(OSError):  # some file systems sync no folders
            _sync(self.target.parent)

    def discard(self) -> None:
        """Remove it unless it was published."""
        if self.path.exists():  # on a read-only disk even removing nothing is an error
            self.path.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _naming(partial: PartialFile) -> Iterator[None]:
    """Turn an error of writing, which often has no file's name, into one that names the target."""
    try:
        yield
    except OSError as error:
        if error.filename not in (None, str(partial.path)):
            raise  # of another file, which the block reads
        what = "what was there before is as it was" if partial.target.exists() else "nothing is left of it"
        reason = os.strerror(error.errno) if error.errno else error
        raise OSError(f"{partial.target} cannot be written: {reason}; {what}") from error


@contextmanager
def whole_file(target: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A file that is at ``target`` when the block has ended. If the block fails, the target is as it was.

    Raises:
        OSError: it cannot be written, for instance because the disk is full; the message names the target.
    """
    partial = PartialFile(target)
    try:
        with _naming(partial), open(partial.path, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            partial.publish()
    finally:
        partial.discard()


def write_whole(target: Path, content: str | bytes) -> None:
    """Write a file, or leave the old one. See `whole_file`."""
    with whole_file(target, "w" if isinstance(content, str) else "wb") as file:
        file.write(content)


class RowWriter:
    """Streams rows to a parquet file, which appears at ``target`` when `finish` is called.

    Use it as a context manager. Without `finish` the target stays as it was.

    Raises:
        OSError: it cannot be written, for instance because the disk is full; the message names the target.
    """

    def __init__(self, target: Path, schema: pa.Schema = RL_SCHEMA) -> None:
        self._schema = schema
        self._partial = PartialFile(target)
        self._parquet: pq.ParquetWriter | None = None
        self._pending: list[dict[str, Any]] = []

    def __enter__(self) -> "RowWriter":
        with _naming(self._partial):
            self._parquet = pq.ParquetWriter(self._partial.path, self._schema)
        return self

    def add(self, row: dict[str, Any]) -> None:
        self._pending.append(row)
        if len(self._pending) == ROW_GROUP:
            self._flush()

    def finish(self, provenance: dict[str, Any] | None = None) -> None:
        """Complete the file; ``provenance`` says where its rows are from."""
        self._flush()
        with _naming(self._partial):
            if provenance:
                self._parquet.add_key_value_metadata({PROVENANCE: json.dumps(provenance)})
            self._parquet.close()
            self._partial.publish()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with _naming(self._partial):
                self._parquet.close()
        finally:
            self._partial.discard()

    def _flush(self) -> None:
        if self._pending:
            with _naming(self._partial):
                self._parquet.write_batch(pa.RecordBatch.from_pylist(self._pending, schema=self._schema))
            self._pending = []


def write_rl_rows(target: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write all these rows to a file, without provenance."""
    with RowWriter(target) as writer:
        for row in rows:
            writer.add(row)
        writer.finish()


def read_provenance(file: Path) -> dict[str, Any] | None:
    """The provenance that `RowWriter.finish` was given; None where the file has none."""
    text = (pq.read_metadata(file).metadata or {}).get(PROVENANCE.encode())
    return json.loads(text) if text else None
