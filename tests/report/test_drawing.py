"""Which steps of a long run a page draws."""

import numpy as np
import pytest
from made_pages import read_page

from sinternal_verl.report.drawing import drawings_that_fit, spread_steps
from sinternal_verl.report.page import CURVES_SHARE, write_page


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A run of 600 steps whose metrics are of chance, so that they do not compress, and a validation each 50 steps."""
    chance = np.random.default_rng(1)
    return read_page(
        tmp_path_factory.mktemp("long") / "run",
        steps=600,
        prompts=3,
        responses=2,
        validate_every=50,
        dumped=False,
        alter=lambda step, data: {
            name: value if name.startswith("val") else chance.random() for name, value in data.items()
        },
    )


def size(steps):
    return sum(len(each.packed()) for each in steps)


def test_all_steps_are_drawn_where_they_fit(page):
    drawn, (steps,) = drawings_that_fit(page, 10**8)

    assert len(steps) == 601 and steps.steps[2] == 601
    assert all(line["values"][2] == 601 for each in drawn for line in each["lines"] if line["values"])


@pytest.mark.parametrize("share", [0.5, 0.05])
def test_a_long_run_keeps_to_its_limit_and_uses_it(page, share):
    limit = int(share * size(drawings_that_fit(page, 10**8)[1]))
    drawn, (steps,) = drawings_that_fit(page, limit)

    assert 0.6 * limit < size([steps]) <= limit and 0 < len(steps) < 601
    assert {line["values"][2] for each in drawn for line in each["lines"] if line["values"]} == {len(steps)}


@pytest.mark.parametrize("limit", [0, -5, 10])
def test_no_room_draws_no_step(page, limit):
    assert len(drawings_that_fit(page, limit)[1][0]) == 0


def test_validations_stay_and_others_are_spread_evenly(page):
    numbers = page.views[0].run.steps.numbers
    kept = numbers[spread_steps(page.views[0].run.steps, 100)]

    assert len(kept) == 100 == len(set(kept.tolist()))
    assert set(range(0, 601, 50)) <= set(kept.tolist()) and kept[0] == 0 and kept[-1] == 600
    assert np.diff(kept).max() <= 8


def test_more_validations_than_fit_are_spread_too(page):
    kept = page.views[0].run.steps.numbers[spread_steps(page.views[0].run.steps, 5)]

    assert kept.tolist() == [0, 150, 300, 450, 600]


def test_a_page_says_how_many_steps_it_draws(page, tmp_path):
    limit = 500_000
    written = write_page(page, tmp_path / "report.html", max_bytes=limit)
    html = (tmp_path / "report.html").read_text()
    whole = size(drawings_that_fit(page, 10**8)[1])

    assert whole > limit * CURVES_SHARE and written.bytes <= limit
    assert "All steps would make the page too large: " in html and "What is said at the top is of all steps." in html
    assert write_page(page, tmp_path / "whole.html").bytes > written.bytes
    assert "All steps would" not in (tmp_path / "whole.html").read_text()
