"""`sinternal-verl report`, as a user gives it."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from made_runs import make_grpo, make_plain, make_sft

from sinternal_verl.cli import main
from sinternal_verl.commands import report

COMMAND = (sys.executable, "-m", "sinternal_verl.cli", "report")


def test_a_run_becomes_a_page_and_a_few_lines(tmp_path, capsys):
    run = make_grpo(tmp_path / "run", steps=8, unscored=0.3)

    code = main(["report", str(run), "-o", str(tmp_path / "new" / "report.html")])

    out = capsys.readouterr().out
    assert code == 0
    assert "run: GRPO, step 8 of 8, finished" in out
    assert "[guard_fails]" in out
    assert f"report: {tmp_path / 'new' / 'report.html'}" in out
    page = (tmp_path / "new" / "report.html").read_text()
    assert "Content-Security-Policy" in page and "have no score" in page


def test_runs_of_plain_verl_and_of_sft(tmp_path, capsys):
    for make, words in ((make_plain, "GRPO, step 8"), (make_sft, "SFT, step 8 of 8, finished")):
        folder = make(tmp_path / make.__name__, steps=8)
        assert main(["report", str(folder), "-o", str(tmp_path / "report.html")]) == 0
        assert words in capsys.readouterr().out


def test_several_runs_become_one_page_with_a_table(tmp_path, capsys):
    runs = [make_grpo(tmp_path / f"seed{seed}", steps=6, seed=seed, dumped=False) for seed in (1, 2)]

    assert main(["report", *map(str, runs), "-o", str(tmp_path / "report.html")]) == 0

    lines = capsys.readouterr().out.splitlines()
    header = next(line for line in lines if "seed1" in line and "seed2" in line and ":" not in line)
    assert header.split() == ["seed1", "seed2", "all", "runs"]
    assert any(line.startswith("reward ") and "[" in line for line in lines)


def test_runs_that_no_other_differs_from_in_its_seed_alone_stand_once_in_the_table(tmp_path, capsys):
    runs = [make_sft(tmp_path / "sft", steps=4), make_grpo(tmp_path / "grpo", steps=4, dumped=False)]

    assert main(["report", *map(str, runs), "-o", str(tmp_path / "report.html")]) == 0

    out = capsys.readouterr().out
    assert ["sft", "grpo"] in [line.split() for line in out.splitlines()] and "interval" not in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{tmp}/runn"], "did you mean"),
        (["{tmp}/empty"], "is no run"),
        (["{tmp}/run", "{tmp}/run/"], "given twice"),
        (["{tmp}/run", "{tmp}/run/metrics.jsonl"], "are the same run"),
        (["{tmp}/run", "{tmp}/other", "--rollouts", "x"], "for a single run"),
        (["{tmp}/run", "--watch", "0"], "seconds between two pages"),
        (["{tmp}/run", "--watch", "nan"], "seconds between two pages"),
        (["{tmp}/run", "-o", "{tmp}/empty"], "is a folder"),
        (["{tmp}/run", "-o", "-"], "the page is a file"),
        (["{tmp}/run", "--rollouts", "{tmp}/nowhere"], "nowhere"),
        (["{tmp}/run", "-o", "{tmp}/run/metrics.jsonl/report.html"], "metrics.jsonl is a file"),
        (["{tmp}/other/sinternal_run.json/x"], "does not exist"),
        (["{tmp}/words.txt"], "give one, or a run's folder"),
        (["{tmp}/run", "{tmp}/empty"], "empty is no run"),
    ],
)
def test_bad_words_are_said_and_nothing_is_written(tmp_path, capsys, words, said):
    make_grpo(tmp_path / "run", steps=2, dumped=False)
    make_grpo(tmp_path / "other", steps=2, dumped=False)
    (tmp_path / "empty").mkdir()
    (tmp_path / "words.txt").write_text("no line of a run")

    out = [] if "-o" in words else ["-o", str(tmp_path / "report.html")]

    code = main(["report", *out, *(word.format(tmp=tmp_path) for word in words)])

    assert code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


# Root may read and write everything, unless it gives up its capabilities.
UNPRIVILEGED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()

CLOSED = """
import pathlib, sys
from sinternal_verl.cli import main

for closed, words in eval(sys.argv[1]):
    mode = pathlib.Path(closed).stat().st_mode
    pathlib.Path(closed).chmod(0)
    print(main(["report", *words, *([] if "-o" in words else ["-o", "report.html"])]), file=sys.stderr)
    pathlib.Path(closed).chmod(mode)
"""


def test_what_is_closed_to_the_user_is_said(tmp_path):
    if UNPRIVILEGED and not shutil.which("setpriv"):
        pytest.skip("no setpriv, with which root gives up its capabilities")
    make_grpo(tmp_path / "run", steps=1, dumped=False)
    make_grpo(tmp_path / "above" / "run", steps=1, dumped=False)
    denied = f"{tmp_path}/{{}} cannot be read: Permission denied; give a run that you may read"
    cases = {
        ("run", "run"): denied.format("run/sinternal_run.json"),
        ("above", "above/run"): denied.format("above/run"),
        ("above", "above/runn"): denied.format("above/runn"),
        ("run/sinternal_run.json", "run"): denied.format("run/sinternal_run.json"),
        ("run/metrics.jsonl", "run/metrics.jsonl"): denied.format("run/metrics.jsonl"),
        ("run/metrics.jsonl", "run"): denied.format("run/metrics.jsonl"),
        ("above", "run", "-o", "above/report.html"): f"you may not write in {tmp_path}/above; give a file",
        ("above", "run", "-o", "above/new/report.html"): f"you may not write in {tmp_path}/above; give a file",
    }
    given = repr([(closed, words) for closed, *words in cases])
    command = [*UNPRIVILEGED, sys.executable, "-c", CLOSED, given]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    lines = done.stderr.splitlines()
    assert lines[1::2] == ["2"] * len(cases)
    assert all(said in line for said, line in zip(cases.values(), lines[::2], strict=True)), lines


def test_what_was_left_out_is_said(tmp_path, capsys):
    run = make_grpo(tmp_path / "run", steps=6, validate_every=0)
    for step in (1, 2, 3, 4):
        (run / "rollouts" / f"{step}.jsonl").write_text("no JSON\n")

    assert main(["report", str(run), "-o", str(tmp_path / "report.html")]) == 0

    said = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert said[0] == f"  left out: {run}/rollouts/1.jsonl, line 1: it is no JSON"
    assert len(said) == 4 and said[-1] == "  left out: 1 more, which the page names"


def test_a_source_that_holds_a_terminals_commands_is_shown_and_not_obeyed(tmp_path, capsys):
    run = make_grpo(tmp_path / "run", steps=4, sources=("a\x1b[2Jb",), dumped=False)

    assert main(["report", str(run), "-o", str(tmp_path / "report.html")]) == 0

    assert "\x1b" not in capsys.readouterr().out


def test_watch_makes_the_page_again_until_the_run_has_ended(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(report, "LOOK_S", 0.05)
    monkeypatch.setattr(report, "MAX_SHARE", 1)
    run = make_grpo(tmp_path / "run", steps=3, dumped=False)
    first, *lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text(first)
    pages, whole_read, whole_write = [], report.read_run, report.write_page

    def read_run(place, **options):
        # As of a file system that is busy.
        if len(pages) == 2 and "failed" not in pages:
            pages.append("failed")
            raise OSError(f"{place}: Stale file handle")
        return whole_read(place, **options)

    def write_page(page, out, *, reload_s, texts):
        pages.append((int(page.views[0].run.steps.numbers[-1]), reload_s))
        if lines:
            (run / "metrics.jsonl").open("a").write(lines.pop(0))
        return whole_write(page, out, reload_s=reload_s, texts=texts)

    monkeypatch.setattr(report, "read_run", read_run)
    monkeypatch.setattr(report, "write_page", write_page)

    code = main(["report", str(run), "--watch", "0.1", "-o", str(tmp_path / "report.html")])

    printed = capsys.readouterr()
    assert code == 0
    # The last page does not load itself again.
    assert pages == [(0, 0.1), (1, 0.1), "failed", (2, 0.1), (3, None)]
    assert printed.err.count("Stale file handle") == 1
    assert "step 3 of 3, finished" in printed.out


def test_watch_gives_up_where_reads_go_on_failing(tmp_path, capsys, monkeypatch):
    run = make_grpo(tmp_path / "run", steps=4, last_step=9, dumped=False)
    whole, calls = report.read_run, []

    def read_run(place, **options):
        calls.append(place)
        if len(calls) > 1:
            raise OSError(f"{place}: Stale file handle")
        return whole(place, **options)

    monkeypatch.setattr(report, "read_run", read_run)
    monkeypatch.setattr(report, "_wait", lambda *_: True)

    assert main(["report", str(run), "--watch", "0.01", "-o", str(tmp_path / "report.html")]) == 2
    assert len(calls) == 1 + report.MAX_FAILURES


def test_watch_ends_where_nothing_grows(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(report, "MAX_QUIET_S", 0.5)
    monkeypatch.setattr(report, "LOOK_S", 0.05)
    run = make_grpo(tmp_path / "run", steps=4, last_step=9, dumped=False)

    assert main(["report", str(run), "--watch", "0.01", "-o", str(tmp_path / "report.html")]) == 1
    assert "no file has grown" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_an_interrupted_watch_leaves_a_whole_page(tmp_path):
    run = make_grpo(tmp_path / "run", steps=4, last_step=9)
    out = tmp_path / "report.html"
    process = subprocess.Popen((*COMMAND, str(run), "--watch", "-o", str(out)), stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 120
        while not out.exists() and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(1)
        process.send_signal(2)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()

    assert process.returncode == 130
    assert "a page that was made is whole" in errors
    assert out.read_text().rstrip().endswith("</html>")


def test_a_run_under_way_says_how_long_it_has_to_go(tmp_path, capsys):
    run = make_grpo(tmp_path / "run", steps=4, last_step=10, dumped=False)
    (run / "metrics.jsonl").open("a").write(json.dumps({"step": 5})[:7])

    main(["report", str(run), "-o", str(tmp_path / "report.html")])

    # Six steps of some 43 s each.
    assert "step 4 of 10, about 4 min to go" in capsys.readouterr().out
