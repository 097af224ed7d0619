"""What is packed for the page's script is what it unpacks."""

import base64
import gzip
import json

import numpy as np
import pytest
from made_pages import large_page, read_page

from sinternal_verl.report.payload import Columns, pack_json, pack_rollouts, pack_texts
from sinternal_verl.report.run import Texts


def unpack(packed: str) -> bytes:
    return gzip.decompress(base64.b64decode(packed))


def column(block: bytes, place: list) -> np.ndarray:
    """As web/payload.js reads one."""
    kind, begin, length = place
    size = np.dtype(kind).itemsize
    part = np.frombuffer(block[begin : begin + size * length], np.uint8).reshape(size, length)
    return np.ascontiguousarray(part.T).reshape(-1).view(kind)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.array([True, False]), "int8"),
        (np.array([-128, 127]), "int8"),
        (np.array([-129, 0]), "int16"),
        (np.array([0, 40_000], np.int32), "int32"),
        (np.array([0, 2**40]), "float64"),
        (np.array([0.1, np.nan, -np.inf], np.float32), "float32"),
        (np.array([0.1, 1e300]), "float64"),
        (np.array([], np.int64), "int8"),
        (np.arange(20, dtype=np.int32)[::2], "int8"),
    ],
)
def test_a_column_comes_back(values, kind):
    columns = Columns()
    columns.add(np.arange(3, dtype=np.int32) * 1000)
    place = columns.add(values)

    assert place[0] == kind
    np.testing.assert_array_equal(column(unpack(columns.packed()), place), values.astype(kind))


@pytest.mark.parametrize("text", ["\ud800", "a\udfff\ud83dz", "\x00\u2028\U0001f600", "</script>", '"\\'])
def test_any_text_comes_back(text):
    assert json.loads(unpack(pack_json([text]))) == [text]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return read_page(tmp_path_factory.mktemp("payload") / "run", steps=2, unscored=0.3)


def test_all_columns_of_rollouts_come_back(page):
    rollouts = page.views[0].run.rollouts
    head, packed = pack_rollouts(rollouts)
    block = unpack(packed)

    assert head["count"] == len(rollouts)
    for name, place in head["columns"].items():
        np.testing.assert_array_equal(column(block, place), getattr(rollouts, name))
    np.testing.assert_array_equal(column(block, head["extra"]["words"]), rollouts.extra["words"])


def test_texts_are_packed_in_whole_groups_those_with_failures_first(page):
    rollouts = page.views[0].run.rollouts
    blocks = list(pack_texts(rollouts, 10**9))
    numbers = [number for block in blocks for number in block.rollouts]
    groups = list(dict.fromkeys(rollouts.group[numbers].tolist()))

    assert sorted(numbers) == sorted(rollouts.texts)
    assert sum(block.groups for block in blocks) == len(groups)
    failed = [bool((rollouts.scored[rollouts.group == group] == 0).any()) for group in groups]
    assert failed == sorted(failed, reverse=True)
    assert any(failed)


def test_texts_keep_to_their_limit(page):
    large = large_page(page, 8000, 10, texts=4000).views[0].run.rollouts
    limit = 500_000
    blocks = list(pack_texts(large, limit))
    held = [number for block in blocks for number in block.rollouts]

    assert limit * 0.8 < sum(len(block.packed) for block in blocks) <= limit
    assert np.bincount(large.group[held]).max() == 8
    assert set(np.bincount(large.group[held])) == {0, 8}
    # They are of all steps, not of the first ones.
    assert len(set(large.step[held].tolist())) == len(set(large.step[:4000].tolist()))


def test_a_group_too_long_for_the_page_leaves_room_for_others(page):
    rollouts = page.views[0].run.rollouts
    long = np.random.default_rng(1).bytes(400_000).hex()
    texts = dict.fromkeys(np.flatnonzero(rollouts.group == rollouts.group[0]).tolist(), Texts("", long, ""))
    rollouts.texts.update(texts)
    held = {number for block in pack_texts(rollouts, 400_000) for number in block.rollouts}

    assert held
    assert not held & set(texts)
