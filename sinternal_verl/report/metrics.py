"""Metrics files as one course of steps, each step once.

A resumed run repeats the steps after its checkpoint. Our trainer's file has each step once; verl's has a file for each
start, or one that a start empties. So lines are taken in the order in which they were written: a line of a training
step ends what an earlier start made of this step and of later ones, and a line of a validation alone is added to what
its step has.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from sinternal_verl.report.lines import Skipped, json_lines
from sinternal_verl.report.run import Steps
from sinternal_verl.report.values import as_number, as_step

VALIDATION = ("val-core/", "val-aux/", "val/")
"""How metrics of a validation begin. (verl 0.9.1)"""


def read_steps(files: Iterable[Path], skipped: Skipped) -> tuple[Steps, tuple[int, ...]]:
    """Read metrics files in the order of their starts.

    Returns:
        The steps, and for each start, in their order, the step that it went on from: 0 for a run from scratch. Starts
        that went on after the last logged step cannot be told from a run without a break, where they have one file.
    """
    course: dict[int, dict[str, Any]] = {}
    starts: list[int] = []
    last = -1
    for file in files:
        begins = True
        for line in json_lines(file, skipped):
            step, data = as_step(line.object.get("step")), line.object.get("data")
            if step is None or not isinstance(data, dict):
                skipped.add(f"{file}, line {line.number}", "it has no step and data")
                continue
            trained = not data or any(not name.startswith(VALIDATION) for name in data)
            if begins or (trained and step <= last):
                # A validation before training has the number of the step that it goes on from.
                done = max(step - trained, 0)
                starts.append(done)
                if done < last:
                    course = {number: found for number, found in course.items() if number <= done}
                begins, last = False, done
            course[step] = course.get(step, {}) | data
            last = max(last, step)
    return _as_columns(dict(sorted(course.items()))), tuple(starts)


def _as_columns(course: dict[int, dict[str, Any]]) -> Steps:
    values: dict[str, np.ndarray] = {}
    not_finite: dict[str, list[int]] = {}
    for place, (step, data) in enumerate(course.items()):
        for name, value in data.items():
            number = as_number(value)
            if not math.isfinite(number):
                if value is None or (isinstance(value, float | int | str) and not _is_word(value)):
                    not_finite.setdefault(name, []).append(step)
                continue
            if name not in values:
                values[name] = np.full(len(course), math.nan)
            values[name][place] = number
    told = {name: tuple(steps) for name, steps in not_finite.items()}
    return Steps(np.fromiter(course, dtype=np.int64, count=len(course)), values, told)


def _is_word(value: float | str) -> bool:
    """Whether it is a text that names no number, such as a class.

    >>> _is_word("AdamW"), _is_word("NaN"), _is_word(math.inf)
    (True, False, False)
    """
    try:
        float(value)
    except ValueError:
        return True
    except OverflowError:  # a whole number beyond all floats
        return False
    return False
