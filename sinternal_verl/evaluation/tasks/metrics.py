"""Metrics of one figure. Of no scores Inspect's own give 0, which reads like a result; these give NaN."""

import math

from inspect_ai.scorer import Metric, SampleScore, Value, ci_wilson, metric, stderr


@metric
def interval() -> Metric:
    """Wilson's bounds of a share, 95%."""
    bounds = ci_wilson()

    def compute(scores: list[SampleScore]) -> Value:
        return bounds(scores) if scores else {"lower": math.nan, "upper": math.nan}

    return compute


@metric
def error() -> Metric:
    """The standard error of a mean; NaN of fewer than two scores, too."""
    of_mean = stderr()

    def compute(scores: list[SampleScore]) -> Value:
        return of_mean(scores) if len(scores) > 1 else math.nan

    return compute
