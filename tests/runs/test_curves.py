"""Metrics are read while they are being written, and drawn."""

import json

import matplotlib.image

from sinternal_verl.runs.curves import Curve, draw_curves, read_steps, series

LINES = '{"step": 0, "data": {"val/a": 0.2}}\n{"step": 1, "data": {"train/a": 0.5}}\n{"step": 2, "da'


def test_a_line_still_being_written_is_left_out(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(LINES)

    assert [step.number for step in read_steps(tmp_path / "metrics.jsonl")] == [0, 1]


def test_no_file_no_steps(tmp_path):
    assert read_steps(tmp_path / "metrics.jsonl") == []


def test_a_series_has_only_the_steps_that_logged_it(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(LINES)
    steps = read_steps(tmp_path / "metrics.jsonl")

    assert series(steps, "train/a") == ([1], [0.5])
    assert series(steps, "val/a") == ([0], [0.2])


def test_the_curves_are_a_picture_with_a_colour_for_each(tmp_path):
    lines = ({"step": n, "data": {"train/a": n / 4, "train/b": 1 - n / 4, "val/b": 0.5}} for n in range(4))
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    path = tmp_path / "curve.png"
    draw_curves(read_steps(tmp_path / "metrics.jsonl"), [Curve("first", "a"), Curve("second", "b")], path, "title")
    pixels = matplotlib.image.imread(path)[..., :3]

    assert pixels.shape[:2] == (540, 840)
    for colour in ([0.298, 0.573, 0.765], [1.0, 0.498, 0.055]):
        assert (abs(pixels - colour).sum(axis=-1) < 0.05).any()
