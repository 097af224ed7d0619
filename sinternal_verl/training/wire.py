"""What of a score reaches verl: ``reward_extra_info``, from the reward worker to the trainer.

1. Our own numbers (`OWN_NAMES`) say how a score came about; the trainer takes them out before verl sees them.
2. A scorer's extras travel as finite numbers, under names that are not verl's own (`VERLS_NAMES`). verl averages each
   of them in validation, and we draw each as a curve per source.
3. ``pred`` of a validation row travels as text: verl's maj@N votes with it.
4. All else (text, arrays, verl's own names) goes to the dumps only. It travels as one text of JSON, `DETAILS`, where
   rollouts of this kind are dumped, and not at all elsewhere. verl's metrics pass over a text.

This is the only place where extras are filtered. (verl 0.9.1)
"""

import json
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from sinternal_verl.scoring.plain import number, plain
from sinternal_verl.scoring.safety import BENIGN, HARMFUL
from sinternal_verl.scoring.score import GUARD_NUMBERS, UNSCORED, Outcome, Sample, Score

logger = logging.getLogger(__name__)

VOTE = "pred"
"""verl's name for the answer that maj@N counts."""

DETAILS = "details"
LENGTH = "response_length"
LABEL = "benign"

OWN_NAMES = frozenset({"score", "outcome", "scored", LABEL, LENGTH, DETAILS, *GUARD_NUMBERS})

OUTCOMES = frozenset(Outcome)

VERLS_NAMES = frozenset(
    {
        # `_validate` counts every reward twice.
        "reward",
        # `process_validation_metrics` writes it over.
        "acc_success_only",
        # `_write_generations` writes these over in its dumps.
        *("input", "output", "gts", "step", "uid"),
        # A reward model beside the trainer: `_compute_reward_colocate` writes extras among a batch's columns.
        *("prompts", "responses", "response_mask", "loss_mask", "input_ids", "position_ids", "attention_mask"),
        *("rm_scores", "token_level_scores", "token_level_rewards", "advantages", "returns", "values"),
        *("rollout_log_probs", "old_log_probs", "ref_log_prob", "rollout_is_weights", "routed_experts"),
        *("raw_prompt", "data_source", "reward_model", "index", "extra_fields", "extra_info", "metrics"),
        *("num_turns", "__num_turns__", "multi_modal_inputs", "teacher_ids", "teacher_logprobs", "session_id"),
    }
)
"""Names under which a number would change what verl trains on, counts or writes."""

VALIDATION = "sinternal_validation"
"""Column by which the reward worker knows a validation row; verl itself does not tell it."""

MAX_DETAILS = 100_000
"""The most characters of `DETAILS`; extras beyond are left out by name."""


class MarkValidation:
    """verl's collate function for validation rows, with the column `VALIDATION`."""

    def __init__(self, collate: Any) -> None:
        self._collate = collate

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        return self._collate(rows) | {VALIDATION: np.array([True] * len(rows), dtype=object)}


def to_wire(score: Score, sample: Sample, length: int, *, validation: bool, dumped: bool) -> dict[str, float | str]:
    """``reward_extra_info`` of one sample.

    Args:
        length: tokens of the response.
        validation: whether this is a validation row.
        dumped: whether rows of this kind are dumped.
    """
    wire: dict[str, float | str] = {
        "score": float(score.value),
        "outcome": float(score.outcome),
        "scored": float(score.scored),
        LENGTH: float(length),
    }
    if isinstance(sample.ground_truth, str) and sample.ground_truth in (BENIGN, HARMFUL):
        wire[LABEL] = float(sample.ground_truth == BENIGN)
    others: dict[str, Any] = {}
    extra = score.extra if isinstance(score.extra, Mapping) else {"extra": score.extra}
    for name, value in {**GUARD_NUMBERS, **extra}.items():
        found = number(value)
        if name == VOTE:
            if validation and value is not None:
                wire[VOTE] = _vote(value)
            others[name] = value
        elif name not in GUARD_NUMBERS and (name in OWN_NAMES or name in VERLS_NAMES):
            _warn_of_name(name)
            others[name] = value
        elif found is not None:
            wire[str(name)] = found
        elif name not in GUARD_NUMBERS:
            others[name] = value
    if dumped:
        wire[DETAILS] = _details(sample.extra.get("index"), score.reason, others)
    return wire


def is_ours(info: Mapping[str, Any]) -> bool:
    """Whether `to_wire` made this ``reward_extra_info``. It always writes ``outcome``, ``scored`` and
    ``response_length``, and they agree. verl's own managers hand on whatever a function returned, under any name.

    >>> is_ours({"outcome": 9.0, "scored": 0.0, "response_length": 5.0}), is_ours({"outcome": 0.5, "acc": 1.0})
    (True, False)
    """
    outcome, scored, length = (number(info.get(name)) for name in ("outcome", "scored", LENGTH))
    if outcome not in OUTCOMES or length is None or length < 0 or not length.is_integer():
        return False
    return scored == (outcome not in UNSCORED)


def _vote(value: Any) -> str:
    """An answer as text; equal answers have equal texts."""
    shown = plain(value)
    return shown if isinstance(shown, str) else json.dumps(shown)


def _details(index: Any, reason: str, extra: Mapping[str, Any]) -> str:
    shown = plain(extra)
    text = json.dumps({"index": plain(index), "reason": plain(reason), "extra": shown})
    if len(text) <= MAX_DETAILS:
        return text
    left_out = {name: f"{len(json.dumps(value)):,} characters, left out" for name, value in shown.items()}
    return json.dumps({"index": plain(index), "reason": plain(reason), "extra": left_out})


_warned: set[Any] = set()


def _warn_of_name(name: Any) -> None:
    if name not in _warned:
        _warned.add(name)
        logger.warning("a scorer returns %r, a name of verl's or ours: it is in the dumps only; rename it", name)
