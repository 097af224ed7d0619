"""Metrics are read while they are being written, and drawn."""

import matplotlib.image

from sinternal_verl.curves import draw_learning_curve, read_steps, series

LINES = '{"step": 0, "data": {"val": 0.2}}\n{"step": 1, "data": {"reward": 0.5}}\n{"step": 2, "da'


def test_a_line_still_being_written_is_left_out(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(LINES)

    assert [step.number for step in read_steps(tmp_path / "metrics.jsonl")] == [0, 1]


def test_no_file_no_steps(tmp_path):
    assert read_steps(tmp_path / "metrics.jsonl") == []


def test_a_series_has_only_the_steps_that_logged_it(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(LINES)
    steps = read_steps(tmp_path / "metrics.jsonl")

    assert series(steps, "reward") == ([1], [0.5])
    assert series(steps, "val") == ([0], [0.2])


def test_the_curve_is_a_picture_with_both_colours(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(LINES)
    path = tmp_path / "curve.png"
    draw_learning_curve(read_steps(tmp_path / "metrics.jsonl"), "reward", "val", path, "title")
    pixels = matplotlib.image.imread(path)[..., :3]

    assert pixels.shape[:2] == (480, 840)
    orange = abs(pixels - [1.0, 0.498, 0.055]).sum(axis=-1) < 0.05
    assert orange.any()
