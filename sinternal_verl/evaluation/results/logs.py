"""Logs of Inspect, ours or anyone's: which there are, what each says of its run, and its samples one after the other.

A task of this package says in its log's metadata which set it ran, where the set came from, what its scorers mean and
how it decoded. Of any other log the same is read where Inspect keeps it.

What goes wrong is told without the words of the exception: a validation error repeats what it could not read, and that
may be a prompt.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from inspect_ai.log import (
    EvalLog,
    EvalSample,
    list_eval_logs,
    read_eval_log,
    read_eval_log_sample,
    read_eval_log_sample_summaries,
    read_eval_log_samples_by_id,
    resolve_sample_attachments,
)
from pydantic import ValidationError

from sinternal_verl.evaluation.results.tries import furthest
from sinternal_verl.evaluation.tasks.decoding import ANSWERS_STORED, PASSES_BODY

BATCH = 100
"""How many samples are held at once."""

UNREAD = {"events", "store", "messages", "timelines", "error_retries"}
"""Fields of a sample that nothing here needs. Without them a sample is read in less than half of the time."""

MAX_LABEL = 80
"""The most characters of a name that is shown."""

UNREADABLE = (ValueError, KeyError, EOFError, OSError, RuntimeError)
"""What Inspect raises where a file is no log, or half of one."""

DECODING = (
    *("temperature", "top_p", "top_k", "max_tokens", "frequency_penalty", "presence_penalty", "seed", "num_choices"),
    *("stop_seqs", "system_message", "reasoning_effort", "reasoning_tokens", "extra_body"),
)
"""Settings of a generation that change what a model says."""

Source = str | Path | EvalLog

_NAME = re.compile(r"[\w./:@+=,%()\[\]-]+")


class LogError(ValueError):
    """Logs cannot be read or used; the message says which and what to do."""


def label(value: object) -> str:
    """A name as it may be shown. What could be a sentence, such as a prompt that serves as an id, becomes a digest.

    >>> label("test/algebra/12.json"), label(7), label("How do I light a lamp?")
    ('test/algebra/12.json', '7', 'sha256:55ed67af4c2b')
    """
    text = str(value)
    if len(text) <= MAX_LABEL and (_NAME.fullmatch(text) or not text):
        return text
    return f"sha256:{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:12]}"


@dataclass(frozen=True)
class Log:
    """One log.

    Attributes:
        name: the file's name, or the task's for a log in memory.
        header: the log, without its samples where it is a file.
        path: the file; empty for a log in memory.
    """

    name: str
    header: EvalLog
    path: str = ""

    @property
    def told(self) -> Mapping[str, Any]:
        """What a task of this package says of itself; empty for others."""
        metadata = self.header.eval.metadata or {}
        return metadata if isinstance(metadata.get("figures"), Mapping) else {}

    @property
    def task(self) -> str:
        return label(self.header.eval.task.rpartition("/")[2])

    @property
    def set(self) -> str:
        return label(self.told.get("set") or self.header.eval.dataset.name or self.task)

    @property
    def model(self) -> str:
        return self.header.eval.model

    @property
    def origin(self) -> Mapping[str, Any]:
        return self.told.get("origin") or {}

    @property
    def figures(self) -> Mapping[str, Mapping[str, str]]:
        """By scorer: its ``metric``, ``direction`` and ``tag``; empty for a task of someone else."""
        return self.told.get("figures") or {}

    @property
    def epochs(self) -> int:
        return self.header.eval.config.epochs or 1

    @property
    def items(self) -> int | None:
        """How many items the run was to have; None where the log does not say."""
        ids = self.header.eval.dataset.sample_ids
        return self.header.eval.dataset.samples if ids is None else len(ids)

    @property
    def reducers(self) -> Sequence[str]:
        """How epochs are reduced, such as ``mean`` or ``pass_at_16``."""
        return self.header.eval.config.epochs_reducer or ()

    @property
    def finished(self) -> bool:
        return self.header.status == "success" and not self.header.invalidated

    @property
    def state(self) -> str:
        return "invalidated" if self.header.invalidated else self.header.status

    @cached_property
    def decoding(self) -> dict[str, Any]:
        """The settings of its generations that are set: those of the model, over those of the task. Nothing is known of
        how stored answers were decoded."""
        provider = self.model.partition("/")[0]
        if provider in ANSWERS_STORED:
            return {}
        config = self.header.plan.config.merge(self.header.eval.model_generate_config)
        found = {name: value for name in DECODING if (value := getattr(config, name, None)) is not None}
        told = {name: value for name, value in (self.told.get("decoding") or {}).items() if value is not None}
        if "repetition_penalty" in told:
            # What reached the server: `--extra-body` replaces the task's, and most providers send none.
            sent = found.get("extra_body", told).get("repetition_penalty", 1.0)
            told["repetition_penalty"] = sent if provider in PASSES_BODY else 1.0
        return told | found

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Those of the task."""
        return self.told.get("parameters") or self.header.eval.task_args

    @property
    def scorers(self) -> list[str]:
        return [label(scorer.name.rpartition("/")[2]) for scorer in self.header.eval.scorers or ()]

    @property
    def grader(self) -> str:
        """The model that judges in a task of someone else, where the log names one by a role."""
        roles = self.header.eval.model_roles or {}
        config = roles.get("judge") or roles.get("grader")
        configs = config if isinstance(config, list) else [config] if config else []
        return ", ".join(one.model for one in configs)

    def expected(self) -> list[tuple[str | int, int]]:
        """Ids and epochs that the run was to have; empty where the log does not say."""
        ids = self.header.eval.dataset.sample_ids or ()
        return [(id, epoch) for id in ids for epoch in range(1, self.epochs + 1)]

    def samples(self, without: Iterable[str] = UNREAD) -> Iterator[EvalSample]:
        """The samples that are there, with their texts whole. At most `BATCH` of an ``.eval`` file are in memory; a
        ``.json`` file is read whole.

        Args:
            without: fields that need not be read.

        Raises:
            LogError: the file cannot be read.
        """
        try:
            yield from self._samples({"resolve_attachments": "core", "exclude_fields": set(without)})
        except ValidationError as error:
            raise LogError(f"{self.name}: its samples cannot be read {_misfit(error)}") from error
        except UNREADABLE as error:
            raise LogError(
                f"{self.name}: its samples cannot be read ({type(error).__name__}): it was cut, or is no log. Run the "
                "task again; where the run was killed, `inspect log recover` may restore it"
            ) from error

    def _samples(self, how: dict[str, Any]) -> Iterator[EvalSample]:
        # An answer that is there twice is one, as for Inspect: the last that was written.
        if self.header.samples is not None:
            there = {(sample.id, sample.epoch): sample for sample in self.header.samples}
            yield from (resolve_sample_attachments(sample, "core") for sample in there.values())
        elif self.path.endswith(".json"):
            samples = read_eval_log(self.path, resolve_attachments="core").samples or ()
            yield from {(sample.id, sample.epoch): sample for sample in samples}.values()
        else:
            there = dict.fromkeys((sample.id, sample.epoch) for sample in read_eval_log_sample_summaries(self.path))
            for batch in _batched(there, BATCH):
                yield from self._batch(batch, how)

    def _batch(self, keys: Sequence[tuple[str | int, int]], how: dict[str, Any]) -> Iterable[EvalSample]:
        try:
            return read_eval_log_samples_by_id(self.path, keys, **how)
        except IndexError:
            # A run that was killed lists samples that it did not come to write.
            return [sample for key in keys if (sample := self._one(key, how)) is not None]

    def _one(self, key: tuple[str | int, int], how: dict[str, Any]) -> EvalSample | None:
        try:
            return read_eval_log_sample(self.path, *key, **how)
        except IndexError:
            return None


def _misfit(error: ValidationError) -> str:
    """Where a log is not as this Inspect wants it, and what to do. The error itself repeats what stands there."""
    place = ".".join(label(part) for part in error.errors(include_url=False, include_input=False)[0]["loc"])
    taken = f"because of {place}: inspect_ai {version('inspect_ai')} does not take what stands there"
    return f"{taken}. Versions before 0.3.253 wrote null for NaN: write NaN, or score the log anew with its own version"


def letter(place: int) -> str:
    """What the run at this place is called, from 0.

    >>> letter(0), letter(27)
    ('A', 'AB')
    """
    before, place = divmod(place, 26)
    return (letter(before - 1) if before else "") + chr(ord("A") + place)


def open_log(source: Source) -> Log:
    """
    Raises:
        LogError: there is no such file, or it is no whole log.
    """
    if isinstance(source, Log):
        return source
    if isinstance(source, EvalLog):
        name = Path(source.location).name or label(source.eval.task)
        return Log(name, source, source.location)
    path = str(source).removeprefix("file://")
    if not Path(path).is_file():
        raise LogError(f"{path}: there is no such file or folder")
    if not path.endswith((".eval", ".json")):
        step = "sinternal_replay/FILE is a model that gives the answers of another harness"
        raise LogError(f"{path}: a log of Inspect is a .eval or .json file; {step}")
    try:
        return Log(Path(path).name, read_eval_log(path, header_only=True), path)
    except ValidationError as error:
        raise LogError(f"{path}: cannot be read {_misfit(error)}") from error
    except UNREADABLE as error:
        raise LogError(
            f"{path}: no whole log of Inspect ({type(error).__name__}). Where the run was killed, "
            "`inspect log recover` may restore it; else remove the file and run the task again"
        ) from error


def open_logs(sources: Source | Iterable[Source]) -> tuple[list[Log], list[str]]:
    """The logs of files and folders, in the order of their tasks; of several tries of one task the one that went
    furthest.

    Returns:
        The logs, and a sentence on each file of a folder that is left out.

    Raises:
        LogError: a file that was named cannot be read, or there is no log at all.
    """
    sources = [sources] if isinstance(sources, Source | Log) else list(sources)
    logs, notes = [], []
    for source in sources:
        if isinstance(source, str | Path) and Path(str(source).removeprefix("file://")).is_dir():
            for info in list_eval_logs(str(source)):
                try:
                    logs.append(open_log(info.name))
                except LogError as error:
                    notes.append(f"left out: {error}")
        else:
            logs.append(open_log(source))
    if not logs:
        where = ", ".join(str(source) for source in sources) or "nothing"
        raise LogError(
            "\n".join([f"{where}: no log of Inspect is there (.eval, or .json with a time in its name)", *notes])
        )
    kept, said = furthest(logs)
    return sorted(kept, key=lambda log: (log.model, log.task, log.header.eval.created, log.name)), [*notes, *said]


def _batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch
