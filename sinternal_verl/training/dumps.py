"""The dumps of rollouts in ``trainer.rollout_data_dir`` and ``trainer.validation_data_dir``: a line of strict JSON for
each rollout, with the same keys in both.

verl's own writer puts NaN into the lines, which most readers of JSON refuse. (verl 0.9.1)
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from sinternal_verl.scoring.plain import plain
from sinternal_verl.training.rollouts import Row


def columns(
    rows: Sequence[Row],
    set_aside: frozenset[str] | set[str] = frozenset(),
    advantages: Mapping[str, float] | None = None,
) -> dict[str, list[Any]]:
    """What a dump says of each rollout besides prompt, response, ground truth, score and step.

    Args:
        set_aside: keys of the rows that did not move the policy.
        advantages: by key, the mean over the response's tokens; a row that was not learned from has none.
    """
    told: dict[str, Callable[[Row], Any]] = {
        "uid": lambda row: row.key,
        "data_source": lambda row: row.source,
        "index": lambda row: row.details.get("index"),
        "outcome": lambda row: row.outcome.name.lower(),
        "scored": lambda row: row.scored,
        "reason": lambda row: row.details.get("reason", ""),
        "advantage": lambda row: (advantages or {}).get(row.key),
        "set_aside": lambda row: row.key in set_aside,
        "truncated": lambda row: row.truncated,
        "response_length": lambda row: row.length,
        "cut": lambda row: row.cut,
        "safe_probability": lambda row: row.safe_probability,
        "extra": lambda row: {**row.details.get("extra", {}), **row.extra},
    }
    return {name: [of(row) for row in rows] for name, of in told.items()}


def write_lines(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write columns of equal length as JSON lines; NaN and infinities become null. The file is there once it is whole.

    Raises:
        OSError: it cannot be written; nothing is left of it, so that a full disk is no fuller.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            for values in zip(*columns.values(), strict=True):
                row = dict(zip(columns, values, strict=True))
                try:
                    line = orjson.dumps(row, default=plain, option=options)
                except TypeError:  # a text that is no UTF-8, or a whole number of more than 64 bits
                    line = orjson.dumps(plain(row), option=options)
                file.write(line)
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def texts_of(written: Sequence[Any], tokenizer: Any) -> list[str]:
    """Texts as they are, and token ids decoded with their special tokens."""
    return [one if isinstance(one, str) else tokenizer.decode(one) for one in written]
