"""The commands as a user types them: what they print, write and return."""

import json
import subprocess
import sys
from types import SimpleNamespace

import datasets
import pyarrow.parquet as pq
import pytest

from sinternal_verl.cli import main
from sinternal_verl.data.math import INSTRUCTION
from sinternal_verl.data.schema import read_provenance

COMMIT = "c" * 40
ROWS = [{"problem": f"{number}+1?", "answer": str(number + 1)} for number in range(3)]


@pytest.fixture
def source(tmp_path):
    def write(rows):
        file = tmp_path / "math.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(file)

    return write


@pytest.mark.slow
def test_a_converted_file_passes_the_check(source, tmp_path):
    """One real process of each command."""
    out = tmp_path / "new" / "train.parquet"
    commands = (["math", "--source", source([*ROWS, ROWS[0]]), "--out", str(out)], ["check", str(out)])
    done = [
        subprocess.run(
            [sys.executable, "-m", "sinternal_verl.cli", "data", *command], capture_output=True, text=True, timeout=100
        )
        for command in commands
    ]

    assert [(each.returncode, each.stderr) for each in done] == [(0, ""), (0, "")]
    assert done[0].stdout.splitlines() == [
        "math: 3 rows",
        "index from the row number",
        "rows: read 4, good 3, duplicates 1 (the first of each is good), bad 0",
        f"wrote {out}",
    ]
    assert done[1].stdout.splitlines() == [
        "math: 3 rows, scorer boxed_math",
        f"sinternal_verl: {out} is fit for training",
    ]


def test_bad_rows_end_with_two_and_say_what_to_type(source, tmp_path, capsys):
    code = main(["data", "math", "--source", source([*ROWS, {}]), "--out", str(tmp_path / "a.parquet")])
    printed = capsys.readouterr()

    assert code == 2
    row, end = printed.err.splitlines()
    assert row == f"{tmp_path}/math.jsonl, line 4: problem is missing or null"
    assert end.endswith("a.parquet was not written: correct the bad rows, or leave them out with --skip-bad")
    assert f"{tmp_path}/a.parquet.rejected.jsonl" in printed.out


def test_skip_bad_ends_with_zero_and_still_names_them(source, tmp_path, capsys):
    code = main(["data", "math", "--source", source([*ROWS, {}]), "--out", str(tmp_path / "a.parquet"), "--skip-bad"])
    printed = capsys.readouterr()

    assert code == 0
    assert printed.err == f"{tmp_path}/math.jsonl, line 4: problem is missing or null\n"
    assert "rows: read 4, good 3, duplicates 0 (the first of each is good), bad 1" in printed.out


def test_labels_reach_the_rows(source, tmp_path):
    out = str(tmp_path / "a.parquet")
    options = ["--data-source", "mine", "--index", "answer", "--split", "dev"]

    assert main(["data", "math", "--source", source(ROWS), "--out", out, *options]) == 0
    row = pq.read_table(out).to_pylist()[0]
    assert row["data_source"] == "mine"
    assert row["extra_info"] == {"index": "1", "split": "dev", "question": f"0+1?\n{INSTRUCTION}"}


@pytest.mark.parametrize("command", ["math", "sft"])
@pytest.mark.parametrize(("revision", "noted"), [([], True), (["--revision", COMMIT], False)])
def test_a_hub_dataset_is_read_and_an_open_revision_noted(monkeypatch, tmp_path, capsys, command, revision, noted):
    answers = [{"question": row["problem"], "response": "<think>\nHm.\n</think>\n\nNo."} for row in ROWS]
    rows = {"math": ROWS, "sft": answers}[command]
    builder = SimpleNamespace(
        hash=COMMIT,
        config=None,
        info=SimpleNamespace(splits=["train"]),
        download_and_prepare=lambda: None,
        as_dataset=lambda split: datasets.Dataset.from_list(rows),
    )
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda path, **options: builder)
    out = tmp_path / "a.parquet"

    assert main(["data", command, "--source", "org/set", "--out", str(out), *revision]) == 0
    assert pq.read_metadata(out).num_rows == 3
    assert (f"--source org/set@{COMMIT} reads the same rows again" in capsys.readouterr().out) is noted
    made = read_provenance(out)
    assert (made["source"] if command == "sft" else made)["commit"] == COMMIT


def test_another_number_of_problems_than_the_set_has_is_noted(source, tmp_path, capsys):
    rows = [row | {"subject": "Algebra", "level": 1, "unique_id": f"train/{number}"} for number, row in enumerate(ROWS)]

    assert main(["data", "math", "--source", source(rows), "--out", str(tmp_path / "a.parquet")]) == 0
    assert (
        "note: math500 has 500 prompts, these are 3; if it is another set, name it with --data-source"
        in capsys.readouterr().out
    )


PROMPTS = [{"prompt": f"May I cross bridge {number}?", "label": "benign"} for number in range(4)]


class TestSafety:
    def test_what_was_written_is_said_by_label(self, source, tmp_path, capsys):
        rows = [*PROMPTS, PROMPTS[0], {"prompt": "May I fell it?", "label": "harmful"}]
        out = f"{tmp_path}/a.parquet"

        assert main(["data", "safety", "--source", source(rows), "--out", out]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "safety/benign/plain: 4 rows",
            "safety/harmful/plain: 1 rows",
            "index from the row number",
            "rows: read 6, good 5, duplicates 1 (the first of each is good), bad 0",
            f"wrote {out}",
        ]

    def test_a_label_for_all_rows_and_a_name_reach_them(self, source, tmp_path):
        out = str(tmp_path / "a.parquet")
        options = ["--label", "harmful", "--name", "mine", "--index", "uid", "--split", "dev"]

        assert main(["data", "safety", "--source", source([{"question": "1?", "uid": 5}]), "--out", out, *options]) == 0
        (row,) = pq.read_table(out).to_pylist()
        assert row["data_source"] == "safety/harmful/mine"
        assert row["extra_info"] == {"index": "5", "split": "dev", "question": "1?"}

    def test_rows_without_a_label_end_with_two_and_say_what_to_type(self, source, tmp_path, capsys):
        code = main(["data", "safety", "--source", source([{"prompt": "1?"}]), "--out", str(tmp_path / "a.parquet")])

        assert code == 2
        assert "or say with --label what all rows are" in capsys.readouterr().err


class TestMix:
    @pytest.fixture
    def files(self, source, tmp_path, capsys):
        """A safety file of four prompts and a math file of three problems."""
        safety, math = str(tmp_path / "safety.parquet"), str(tmp_path / "train.parquet")
        assert main(["data", "safety", "--source", source(PROMPTS), "--out", safety]) == 0
        assert main(["data", "math", "--source", source(ROWS), "--out", math]) == 0
        capsys.readouterr()
        return safety, math

    def test_says_what_became_of_each_part_and_the_proportions(self, files, tmp_path, capsys):
        (tmp_path / "eval.csv").write_text("prompt\nmay i cross bridge 2\n")
        out, against = str(tmp_path / "new" / "mix.parquet"), f"{tmp_path}/eval.csv"
        parts = ["--part", f"{files[0]}:safety/*=1", f"{files[1]}=all"]

        assert main(["data", "mix", *parts, "--out", out, "--against", against, "--seed", "2"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            f"against {against}: 1 texts in prompt, 1 of fewer than 13 words, which match as a run of their own length",
            f"{files[0]}:safety/*: rows 4, contaminated 1 (1 in {against}), repeated 0, taken 1",
            f"{files[1]}: rows 3, contaminated 0, repeated 0, taken 3",
            "math: 3 rows, 75.0%",
            "safety/benign/plain: 1 rows, 25.0%",
            f"every contaminated row: {out}.contaminated.jsonl",
            f"wrote {out}: 4 rows, seed 2",
        ]

    def test_the_check_sends_each_row_to_the_scorer_of_its_kind(self, files, tmp_path, capsys):
        out = str(tmp_path / "mix.parquet")
        assert main(["data", "mix", "--part", f"{files[0]}=all", f"{files[1]}=all", "--out", out]) == 0

        assert main(["data", "check", out, "guard=openai_endpoint"]) == 0
        printed = capsys.readouterr().out
        assert "safety/benign/plain: 4 rows, scorer safety" in printed
        assert "math: 3 rows, scorer boxed_math" in printed

    def test_without_evaluation_files_that_is_said(self, files, tmp_path, capsys):
        assert main(["data", "mix", "--part", f"{files[0]}=1", "--out", str(tmp_path / "mix.parquet")]) == 0
        assert "note: compared with no evaluation file" in capsys.readouterr().out

    def test_contradictions_between_parts_are_a_warning(self, source, files, tmp_path, capsys):
        harmful = f"{tmp_path}/harmful.parquet"
        main(["data", "safety", "--source", source([PROMPTS[0] | {"label": "harmful"}]), "--out", harmful])
        parts = [f"{harmful}=all", f"{files[0]}=all"]

        assert main(["data", "mix", "--part", *parts, "--out", str(tmp_path / "mix.parquet")]) == 0
        assert capsys.readouterr().err == (
            f"warning: {files[0]}: 1 prompts have another ground truth in what came before; the first was kept\n"
        )

    @pytest.mark.parametrize(
        ("part", "out", "options", "message"),
        [
            ("safety.parquet=5", "mix.parquet", [], "wanted are 5 rows, there are 4"),
            ("safety.parquet", "mix.parquet", [], "give FILE=COUNT or FILE:PATTERN=COUNT"),
            ("none.parquet=1", "mix.parquet", [], "--part none.parquet does not exist"),
            ("safety.parquet=1", "safety.parquet", [], "is the source itself"),
            ("safety.parquet=1", "mix.parquet", ["--against", "none.csv"], "none.csv does not exist"),
            ("safety.parquet=1", "mix.parquet", ["--ngram", "0"], "--ngram 0: give a positive number"),
        ],
    )
    def test_what_cannot_be_mixed_ends_with_two(
        self, files, tmp_path, monkeypatch, capsys, part, out, options, message
    ):
        monkeypatch.chdir(tmp_path)

        assert main(["data", "mix", "--part", part, "--out", out, *options]) == 2
        error = capsys.readouterr().err
        assert message in error and error.endswith(f"\n{out} was not written\n")
        assert error.count("sinternal_verl: ") == 1
        assert not (tmp_path / "mix.parquet").exists()


@pytest.mark.parametrize(
    ("out", "message"),
    [("a.jsonl", "end it in .parquet"), ("folder.parquet", "is a folder"), ("same.parquet", "is the source itself")],
)
def test_a_target_that_cannot_be_is_refused(tmp_path, capsys, out, message):
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "same.parquet").write_text("kept")

    assert main(["data", "math", "--source", str(tmp_path / "same.parquet"), "--out", str(tmp_path / out)]) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "same.parquet").read_text() == "kept"


@pytest.mark.parametrize("overrides", [["+recipe=none"], ["sinternal.scorers.boxed_math.mode=x"]])
def test_a_configuration_that_cannot_be_used_is_an_error_without_traceback(world, capsys, overrides):
    assert main(["data", "check", str(world["train"]), *overrides]) == 2
    assert capsys.readouterr().err.startswith("sinternal_verl: ")


def test_an_unfit_file_ends_with_two_and_the_number_of_problems(world, capsys):
    assert main(["data", "check", str(world["sft"])]) == 2
    assert capsys.readouterr().err.endswith("sft.parquet is not fit for training (problems: 2)\n")


def test_the_small_world_is_fit(world, capsys):
    assert main(["data", "check", str(world["train"])]) == 0
    assert "world/addition: 3,581 rows, scorer boxed_math" in capsys.readouterr().out


@pytest.mark.parametrize("opens", [True, False], ids=["STAR-1", "SafeChain"])
class TestWholeAnswers:
    THOUGHTS = ("It asks for the lamp.\n</think>\n\nNo.", "It asks for the nets.\n</think>\n\nYes.", "Cut")

    @pytest.fixture
    def source(self, opens, tmp_path):
        file = tmp_path / "answers.jsonl"
        made = [
            {"question" if opens else "instruction": f"Request {n}", "response": f"<think>\n{text}" if opens else text}
            for n, text in enumerate(self.THOUGHTS)
        ]
        file.write_text("".join(json.dumps(row) + "\n" for row in made))
        return file

    def test_are_rows_for_sft(self, source, tmp_path, capsys):
        out = tmp_path / "new" / "sft.parquet"

        assert main(["data", "sft", "--source", str(source), "--out", str(out)]) == 0
        written = pq.read_table(out).to_pylist()
        assert [row["completion"] for row in written] == [f"<think>\n{text}" for text in self.THOUGHTS[:2]]
        assert [row["prompt"] for row in written] == [[{"role": "user", "content": f"Request {n}"}] for n in (0, 1)]
        assert "answers/no whole thought and answer: 1" in capsys.readouterr().out
        assert read_provenance(out)["thinks"] is True

    def test_of_a_model_that_does_not_think_lose_the_thought(self, source, tmp_path):
        out = tmp_path / "sft.parquet"

        assert main(["data", "sft", "--source", str(source), "--out", str(out), "--thought", "none"]) == 0
        assert pq.read_table(out)["completion"].to_pylist()[:2] == ["No.", "Yes."]

    def test_leave_out_what_stands_in_an_evaluation_file(self, source, tmp_path, capsys):
        out, against = tmp_path / "sft.parquet", tmp_path / "evaluation.csv"
        against.write_text("prompt\nRequest 1\n")

        command = ["data", "sft", "--source", str(source), "--out", str(out), "--against", str(against)]
        assert main(command) == 0
        assert pq.read_table(out)["request"].to_pylist() == ["Request 0"]
        assert "answers/contaminated: 1" in capsys.readouterr().out

    def test_without_one_that_is_kept_are_no_file(self, source, tmp_path, capsys):
        out = tmp_path / "sft.parquet"
        source.write_text('{"question": "Request", "response": "Cut"}\n')

        assert main(["data", "sft", "--source", str(source), "--out", str(out)]) == 2
        assert not out.exists() and "no answer of" in capsys.readouterr().err

    def test_a_fraction_out_of_range_is_refused(self, source, tmp_path, capsys):
        command = ["data", "sft", "--source", str(source), "--out", str(tmp_path / "sft.parquet"), "--fraction", "2"]

        assert main(command) == 2
        assert "--fraction 2: it must be in (0, 1]" in capsys.readouterr().err


def test_whole_answers_are_a_share_by_the_seed_less_what_is_evaluated(tmp_path, capsys):
    source, against = tmp_path / "answers.jsonl", tmp_path / "eval.jsonl"
    made = [{"question": f"Request {n}", "response": "<think>\nHm.\n</think>\n\nNo."} for n in range(9)]
    source.write_text("".join(json.dumps(row) + "\n" for row in made))
    against.write_text(json.dumps({"prompt": "request 3"}))
    command = ["data", "sft", "--source", str(source), "--against", str(against), "--fraction", "0.5"]

    kept = []
    for seed in ("1", "2"):
        out = tmp_path / f"{seed}.parquet"
        assert main([*command, "--out", str(out), "--seed", seed]) == 0
        kept.append(set(pq.read_table(out)["request"].to_pylist()))
    assert [len(each) for each in kept] == [4, 4] and kept[0] != kept[1]
    assert "Request 3" not in kept[0] | kept[1]
    assert "answers/contaminated: 1\nanswers/kept: 4\nanswers/left out by fraction: 4\n" in capsys.readouterr().out
