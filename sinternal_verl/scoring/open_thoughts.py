"""Says when most responses of a source never end their thought: each of them scores 0, and no outcome says that a
setting may be the cause."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from sinternal_verl.scoring.registry import BoundScorer, Router
from sinternal_verl.scoring.score import Outcome

MAX_SHARE = 0.5
"""Above this share of a source's responses it is no accident."""


def find_open_thoughts(outcomes: Mapping[str, Counter[Outcome]], scorers: Mapping[str, Any] | None) -> list[str]:
    """A sentence for each source of which most responses are ``THOUGHT_UNCLOSED``.

    >>> counts = {"math": Counter({Outcome.THOUGHT_UNCLOSED: 9, Outcome.CORRECT: 1})}
    >>> print(*find_open_thoughts(counts, {"boxed_math": {"sources": ["*"], "thought": "required"}}))
    9 of 10 responses of 'math' never end their thought with </think>, so each of them scores 0. If the model does not \
think, give sinternal.scorers.boxed_math.thought=none; if it does, it has too little room for its response

    Args:
        outcomes: by source, how many responses had each outcome.
        scorers: ``sinternal.scorers`` of the configuration.
    """
    found = []
    for source, counts in sorted(outcomes.items()):
        unclosed, all_of_them = counts[Outcome.THOUGHT_UNCLOSED], counts.total()
        if unclosed <= MAX_SHARE * all_of_them:
            continue
        key = _key_of(source, scorers or {})
        setting = f"sinternal.scorers.{key}.thought=none" if key else "thought=none, or its like, to its scorer"
        found.append(
            f"{unclosed} of {all_of_them} responses of {source!r} never end their thought with </think>, so each of "
            f"them scores 0. If the model does not think, give {setting}; if it does, it has too little room for its "
            "response"
        )
    return found


def _key_of(source: str, scorers: Mapping[str, Any]) -> str | None:
    """The key of the scorer of a source, where it has the setting."""
    bound = []
    for key, entry in scorers.items():
        if entry and (sources := entry.get("sources")):
            bound.append(BoundScorer(key, (sources,) if isinstance(sources, str) else tuple(sources), len))
    found = Router(bound).find(source)
    return found.key if found and "thought" in scorers[found.key] else None
