"""Does a parquet file have what verl's RL main and the configured scorers need?

A row without a scorer, or with a ground truth that its scorer cannot use, gets no reward. During a run that
shows hours later, and only as a count. Here each such row is named before training.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from omegaconf import OmegaConf

from sinternal_verl.config import compose_main, get, is_ppo
from sinternal_verl.data.adapter import lookup
from sinternal_verl.data.findings import Findings
from sinternal_verl.data.readers import FROM_ZERO, read_parquet
from sinternal_verl.data.truth import absent, damage
from sinternal_verl.doctor.data import GROUND_TRUTH, check_type, open_files, rl_columns, rl_keys, type_of
from sinternal_verl.doctor.problem import Problem
from sinternal_verl.doctor.scorers import lacks_guard
from sinternal_verl.hashing import digest
from sinternal_verl.scoring.boxed_math import BoxedMath
from sinternal_verl.scoring.registry import BoundScorer, Router

INDEX = "extra_info.index"
ROLES = ("system", "user", "assistant", "tool")


class CheckError(ValueError):
    """The configuration does not say how rows are scored."""


@dataclass
class Checked:
    """What was found in one file.

    Attributes:
        problems: rows that would get no reward, or have no usable prompt.
        warnings: doubtful rows and columns, which may be intended.
        rows: number of rows for each data source.
        scorers: data source -> its scorer, None where there is none.
    """

    problems: Findings = field(default_factory=Findings)
    warnings: Findings = field(default_factory=Findings)
    rows: Counter[str] = field(default_factory=Counter)
    scorers: dict[str, BoundScorer | None] = field(default_factory=dict)


def load_router(overrides: list[str]) -> tuple[Router, tuple[str, str]]:
    """The scorers of a run, and the columns of its prompt and its data source.

    Args:
        overrides: as for verl's main; without a recipe, the GRPO recipe is taken.

    Raises:
        CheckError: the configuration is not for the RL main, or has no scorers.
        ScorerError: a scorer cannot be used.
        hydra.errors.HydraException: the overrides do not compose.
    """
    config = compose_main(overrides)
    if not is_ppo(config):
        raise CheckError("this is a recipe of verl's SFT main, which scores nothing; give one of the GRPO main")
    scorers = get(config, "sinternal.scorers")
    if not scorers:
        raise CheckError("sinternal.scorers is not set, so no row would be scored; give a recipe that sets it")
    return Router.from_config(OmegaConf.to_container(scorers, resolve=True)), rl_keys(config)


def check_file(path: str, router: Router, prompt: str = "prompt", source: str = "data_source") -> Checked:
    """Check a file's columns and, if these are right, every row.

    Args:
        prompt, source: names of the columns with the prompt and the data source.

    Raises:
        SourceError: the file cannot be read to its end.
    """
    checked, columns = Checked(), rl_columns(prompt, source)
    files, problems = open_files("FILE", [path], json_too=False)
    if not files and not problems:
        problems = [Problem("FILE", path, "a URL is not read here", "give a file")]
    for file in files:
        problems += [problem for column, kind in columns.items() if (problem := check_type(file, column, kind))]
    for problem in problems:
        column = "" if problem.value == path else f"{problem.value}: "
        checked.problems.add(f"{path}: {column}{problem.reason}; {problem.next_step}")
    if problems:
        return checked
    index = type_of(files[0].schema, INDEX)
    if index is None:
        checked.warnings.add(
            f"{path}: there is no {INDEX}: verl takes 0 for it, so a seeded step samples all rows alike"
        )
    elif pa.types.is_nested(index):
        checked.problems.add(f"{path}: {INDEX} holds {index}; it must hold a string, or an integer")
        return checked
    elif not pa.types.is_string(index):
        checked.warnings.add(f"{path}: {INDEX} holds {index}; verl cannot join this file with one where it is a string")
    rows = _Rows(path, router, checked)
    read = [prompt, source, GROUND_TRUTH, *([INDEX] if index else [])]
    for number, row in read_parquet(path, read):
        rows.check(number, row[source], row[prompt], _field(row, GROUND_TRUTH), _field(row, INDEX))
    rows.check_sources()
    return checked


class _Rows:
    """Checks row after row; for each index it keeps a digest of the index and one of the prompt."""

    def __init__(self, path: str, router: Router, checked: Checked) -> None:
        self._path, self._router, self._checked = path, router, checked
        self._first_of: dict[str, int] = {}
        self._seen: dict[bytes, tuple[int, bytes]] = {}

    def check(self, number: int, source: Any, prompt: Any, ground_truth: Any, index: Any) -> None:
        problems = self._checked.problems
        for reason in (self._score_problem(number, source, ground_truth), prompt_problem(prompt)):
            if reason:
                problems.add(self._line(number, reason))
        if doubt := self._doubt(source, ground_truth):
            self._checked.warnings.add(self._line(number, doubt))
        if index is None:
            return
        messages = digest(repr(prompt), 16)
        first, known = self._seen.setdefault(digest(f"{source}/{index}", 16), (number, messages))
        if first == number:
            return
        if known == messages:
            reason = "has index and prompt of row {}: a seeded step samples the same responses for both; drop one"
            problems.add(self._line(number, reason.format(first)))
        else:
            reason = f"has index {str(index)[:60]!r} of row {first}, another prompt: both are sampled with one seed"
            self._checked.warnings.add(self._line(number, reason))

    def check_sources(self) -> None:
        """Add one problem for each data source without a scorer or a guard; all of its rows have it."""
        for source, bound in self._checked.scorers.items():
            if bound is None:
                reason = (
                    f"no scorer takes the data source {source!r} of this and {self._checked.rows[source] - 1:,} more "
                    f"rows; they take {', '.join(self._router.sources)}; add it to a scorer's sources"
                )
                self._checked.problems.add(self._line(self._first_of[source], reason))
            elif lacks_guard(self._router, source):
                reason = (
                    f"only the scorer of everything takes {source!r}: safety prompts need a guard; add "
                    "guard=ray_actor or guard=openai_endpoint to what you give here and to verl's main"
                )
                self._checked.problems.add(self._line(self._first_of[source], reason))

    def _score_problem(self, number: int, source: Any, ground_truth: Any) -> str | None:
        if source is None:
            return "its data source is null"
        scorers = self._checked.scorers
        if source not in scorers:
            scorers[source] = self._router.find(source)
            self._first_of[source] = number
        self._checked.rows[source] += 1
        bound = scorers[source]
        if bound is None:
            return None
        if isinstance(bound.call, BoxedMath) and isinstance(ground_truth, str) and (reason := damage(ground_truth)):
            return f"the ground truth holds {reason}"
        return bound.check_ground_truth(ground_truth)

    def _doubt(self, source: Any, ground_truth: Any) -> str | None:
        bound = self._checked.scorers.get(source)
        if bound is None or not isinstance(bound.call, BoxedMath) or not str(ground_truth or "").strip():
            return None
        kind = absent(ground_truth)
        return f"the ground truth {ground_truth!r:.40} says that there is none ({kind})" if kind else None

    def _line(self, number: int, reason: str) -> str:
        return f"{self._path}, {FROM_ZERO.format(number)}: {reason}"


def _field(row: dict[str, Any], name: str) -> Any:
    """The field of a struct by its dotted name, as verl reads it: a column with such a name is another."""
    head, _, field = name.partition(".")
    return lookup(row.get(head), field)


def prompt_problem(prompt: Any) -> str | None:
    """What is wrong with a row's messages, or None.

    >>> prompt_problem([{"role": "user", "content": "1+1?"}])
    >>> prompt_problem([{"role": "human", "content": "1+1?"}])
    "message 0 of the prompt has the role 'human'; known are system, user, assistant, tool"
    """
    if not prompt:
        return "the prompt holds no message"
    for number, message in enumerate(prompt):
        role, content = lookup(message, "role"), lookup(message, "content")
        if role not in ROLES:
            return f"message {number} of the prompt has the role {role!r}; known are {', '.join(ROLES)}"
        if not isinstance(content, str):
            return f"message {number} of the prompt has a content that is no string"
        if not content.strip():
            return f"message {number} of the prompt is empty"
    if not any(message["role"] == "user" for message in prompt):
        return "the prompt has no user message"
    return None
