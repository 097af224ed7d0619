"""Whatever a scorer returns becomes a finite number or a value that JSON can hold; nothing raises."""

import datetime
import decimal
import json
import threading

import numpy as np
import pytest
import torch

from sinternal_verl.scoring.plain import MAX_ITEMS, MAX_TEXT, as_float, number, plain
from sinternal_verl.scoring.score import Outcome


class Hostile:
    """An object of a user's that answers nothing."""

    shape = property(lambda self: 1 / 0)

    def __float__(self):
        raise AttributeError("no")

    def __str__(self):
        raise RuntimeError("no")

    tolist = __str__


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        (True, 1.0),
        (np.bool_(True), 1.0),
        (np.float16(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.array(2.0), 2.0),
        (np.array([2.0]), 2.0),
        (torch.tensor(2), 2.0),
        (torch.tensor([[2.0]], requires_grad=True), 2.0),
        (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
        (torch.tensor(True), 1.0),
        (decimal.Decimal("1.5"), 1.5),
        (Outcome.CORRECT, 1.0),
    ],
)
def test_a_number_of_any_library_is_a_float(value, expected):
    found = number(value)

    assert found == expected and type(found) is float


@pytest.mark.parametrize(
    "value",
    [
        None,
        "1",
        b"1",
        np.str_("1"),
        np.array("1"),
        np.array(["1"], dtype=object),
        [1],
        {"a": 1},
        np.arange(2),
        np.array([]),
        torch.zeros(2),
        torch.zeros(0),
        torch.zeros(1, device="meta"),
        1j,
        10**400,
        float("nan"),
        np.float32("inf"),
        torch.tensor(float("nan")),
        decimal.Decimal("NaN"),
        Hostile(),
        object,
    ],
)
def test_all_else_is_no_number(value):
    assert number(value) is None


def test_a_score_may_be_told_from_a_number_that_is_not_finite():
    assert as_float(float("inf")) == float("inf")
    assert as_float(np.arange(2)) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a\ud800", "a?"),
        (float("nan"), None),
        (np.float32("nan"), None),
        (np.array([1.0, np.nan]), [1.0, None]),
        (torch.eye(2), [[1.0, 0.0], [0.0, 1.0]]),
        (torch.zeros(4000, 4000), "Tensor of shape (4000, 4000)"),
        (np.zeros((40, 40)), "ndarray of shape (40, 40)"),
        ({1: {2}, None: (3,)}, {"1": [2], "None": [3]}),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (2**62, 2**62),
        (Hostile(), "<Hostile>"),
        ([Hostile(), 1], ["<Hostile>", 1]),
        (Outcome.CORRECT, 1),
        (b"x", "b'x'"),
    ],
)
def test_a_value_is_what_json_can_hold(value, expected):
    assert plain(value) == expected


@pytest.mark.parametrize("value", [-(2**64), threading.Lock(), lambda: 1, 1j, torch.zeros(1, device="meta")])
def test_a_value_that_no_json_holds_is_text(value):
    assert isinstance(plain(value), str)


def test_a_whole_number_of_more_digits_than_python_writes_is_text():
    assert isinstance(plain(10**5000), str)


def test_a_value_is_bounded_in_length_number_and_depth():
    circle: list = [1]
    circle.append(circle)

    assert len(plain("x" * 10**6)) == MAX_TEXT + 1
    assert len(plain(list(range(10**6)))) == MAX_ITEMS
    assert sum(map(len, plain([list(range(100))] * 100))) < MAX_ITEMS
    assert len(json.dumps(plain(circle))) < 1000
    assert len(plain(dict.fromkeys(range(10**5)))) == MAX_ITEMS
