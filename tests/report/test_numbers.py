"""Which rollouts a page has the numbers of."""

from dataclasses import replace

import numpy as np
import pytest
from made_pages import large_page, read_page

from sinternal_verl.report.numbers import numbers_that_fit, sample_of
from sinternal_verl.report.run import UNKNOWN


@pytest.fixture(scope="module")
def rollouts(tmp_path_factory):
    """16,000 rollouts of 50 steps, of which every hundredth group has a failure."""
    page = read_page(tmp_path_factory.mktemp("numbers") / "run", steps=2)
    made = large_page(page, 16_000, 50, texts=80, characters=10).views[0].run.rollouts
    return replace(made, scored=np.where(made.group % 100, 1, np.arange(16_000) % 8 != 3).astype(np.int8))


def test_all_are_kept_where_they_fit(rollouts):
    numbers = numbers_that_fit(rollouts, 10**7)

    assert numbers.rollouts is rollouts
    assert numbers.head["total"] == numbers.head["count"] == 16_000


@pytest.mark.parametrize("limit", [100_000, 30_000])
def test_a_sample_keeps_to_its_limit_and_uses_it(rollouts, limit):
    numbers = numbers_that_fit(rollouts, limit)

    assert limit * 0.6 < numbers.bytes <= limit
    assert 0 < numbers.head["count"] < numbers.head["total"] == 16_000


@pytest.mark.parametrize("limit", [0, -5, 10])
def test_no_room_keeps_none(rollouts, limit):
    assert len(numbers_that_fit(rollouts, limit).rollouts) == 0


def test_a_sample_is_of_whole_groups_with_all_failures_and_texts(rollouts):
    kept = sample_of(rollouts, 4_000)
    groups, sizes = np.unique(kept.group, return_counts=True)

    assert 3_900 < len(kept) <= 4_000
    assert set(sizes) == {8}
    assert set(range(0, 2_000, 100)) <= set(groups.tolist())
    assert [texts.answer for texts in kept.texts.values()] == ["It burns."] * 80
    assert set(np.unique(kept.step)) == set(np.unique(rollouts.step))
    assert set(np.unique(kept.source)) == set(np.unique(rollouts.source))


def test_where_most_groups_have_a_failure_others_are_kept_too(rollouts):
    failing = replace(rollouts, scored=(rollouts.group % 10 == 0).astype(np.int8))
    kept = sample_of(failing, 2_000)

    assert 0.4 < (kept.scored == 0).mean() < 0.6


def test_a_rollout_of_a_sample_has_the_numbers_texts_and_place_that_it_has_in_the_run(rollouts):
    reasons = np.where(np.arange(16_000) % 2, UNKNOWN, 0).astype(np.int32)
    rollouts = replace(rollouts, reason=reasons)
    kept = sample_of(rollouts, 2_000)
    at = {(held, step, within): place for place, (held, step, within) in enumerate(_addresses(rollouts))}
    numbers = [at[address] for address in _addresses(kept)]

    for name in ("source", "outcome", "group", "place", "score", "advantage", "length", "scored"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(rollouts, name)[numbers])
    np.testing.assert_array_equal(kept.extra["words"], rollouts.extra["words"][numbers])
    for name in ("row", "reason"):
        assert _names(kept, name) == list(map(_names(rollouts, name).__getitem__, numbers))
    assert len(kept.names["row"]) == len(np.unique(kept.row))
    assert len(kept.texts) > 8
    assert all(rollouts.texts[numbers[place]] is texts for place, texts in kept.texts.items())


def _addresses(rollouts):
    return zip(rollouts.held_out.tolist(), rollouts.step.tolist(), rollouts.within.tolist(), strict=True)


def _names(rollouts, column):
    names = rollouts.names[column]
    return [names[place] if place >= 0 else None for place in getattr(rollouts, column).tolist()]
