"""Why a judge gave no verdict: a few fixed words that can be counted.

Inspect's own reasons ``invalid_response_format``, ``refusal`` and ``no_response`` are about the model under test, so a
judge's failure is none of them: to Inspect it is ``grader_failed``, or ``scoring_failed`` where no judge was asked.
`INSPECT_REASONS` says which. A log keeps the finer word, because a server that is down and a reply without a verdict
want different mends.
"""

from collections.abc import Mapping

UNREACHABLE = "judge_unreachable"
"""No connection, an HTTP error, or a provider's exception."""

TIMEOUT = "judge_timeout"
"""The last try had no reply within its time."""

EMPTY = "judge_empty"
"""A reply without text, or with a thought alone."""

CUT = "judge_cut"
"""A reply that reached its token limit: its verdict may have been about to change."""

UNPARSABLE = "judge_unparsable"
"""A reply that does not end with a verdict in the form asked for."""

REFUSED = "judge_refused"
"""The judge, or a content filter before it, declines to judge."""

TOO_LONG = "judge_context"
"""The texts do not fit into the judge's context, and a part of an answer is not judged for the whole."""

NOT_APPLICABLE = "judge_not_applicable"
"""The judge says that its question does not apply (WildGuard's n/a)."""

NO_RUBRIC = "no_rubric"
"""The item has no rubric, so that there is nothing to ask."""

NO_TEXT = "no_text"
"""There is nothing to judge."""

INSPECT_REASONS: Mapping[str, str] = {
    UNREACHABLE: "grader_failed",
    TIMEOUT: "grader_failed",
    EMPTY: "grader_failed",
    CUT: "grader_failed",
    UNPARSABLE: "grader_failed",
    REFUSED: "grader_failed",
    TOO_LONG: "scoring_failed",
    NOT_APPLICABLE: "grader_failed",
    NO_RUBRIC: "scoring_failed",
    NO_TEXT: "no_response",
}
"""Each reason, and Inspect's nearest."""
