"""What doctor shows of the loss, and what it says of rows that cannot be trained on."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sinternal_verl.commands.doctor import doctor
from sinternal_verl.doctor.lengths import check_row_lengths
from sinternal_verl.doctor.loss import MAX_SHOWN, loss_of_first_row
from sinternal_verl.doctor.problem import Problem

ASKED = [{"role": "user", "content": "1+1?"}]


@pytest.fixture
def config(sft_config, tmp_path):
    def make(*rows, overrides=()):
        pq.write_table(pa.Table.from_pylist(list(rows)), tmp_path / "rows.parquet")
        file = f"data.train_files={tmp_path / 'rows.parquet'}"
        return sft_config(file, "data.train_batch_size=1", "data.max_length=4096", *overrides)

    return make


def test_brackets_stand_around_what_is_learned_of_the_first_row(config, tmp_path):
    rows = [{"prompt": ASKED, "completion": f"<think>\nA sum.\n</think>\n\n{answer}<|end|>\n"} for answer in (2, 3)]
    head, _, shown = loss_of_first_row(config(*rows, overrides=["data.seed=3"])).partition("\n")

    assert shown == "<|begin|><|User|>1+1?<|Assistant|><think>\n\u27e6A sum.\n</think>\n\n2<|end|>\u27e7"
    assert str(tmp_path / "rows.parquet") in head and "tokens, between \u27e6 and \u27e7" in head


def test_long_texts_are_shortened(config):
    shown = loss_of_first_row(config({"prompt": [{"role": "user", "content": "1+" * 900}], "completion": "</think>2"}))

    assert len(shown) < 2 * MAX_SHOWN and "[\u2026]" in shown and "\u27e6</think>2<|end|>\u27e7" in shown


def test_nothing_is_shown_of_a_run_with_another_dataset(config, grpo_config):
    row = {"prompt": ASKED, "completion": "</think>2"}

    assert loss_of_first_row(grpo_config()) is None
    assert loss_of_first_row(config(row, overrides=["data.custom_cls.path=null"])) is None
    assert loss_of_first_row(config(row, overrides=["model.path=nobody/never-cached"])) is None
    assert loss_of_first_row(config(row | {"completion": "2"})) is None


def test_rows_that_cannot_be_trained_on_are_problems_by_their_reasons(config):
    rows = [{"prompt": ASKED, "completion": text} for text in ("</think>2", "2", "3", " ")]
    (problem,) = check_row_lengths(config(*rows))

    assert isinstance(problem, Problem) and problem.key == "data.train_files"
    assert "3 rows cannot be trained on" in problem.reason
    assert "row 3: its completion is empty" in problem.reason
    assert "and 1 more: the chat template opens a thought" in problem.reason


def test_the_command_shows_it(world, tmp_path, capsys):
    words = ["+recipe=sinternal_sft_cpu", f"model.path={world['policy']}", f"data.train_files={world['sft']}"]

    assert doctor([*words, "data.max_length=128", f"trainer.default_local_dir={tmp_path}"]) == 0
    assert "\u27e6" in capsys.readouterr().out
