"""`sinternal-verl eval` over HTTP servers: what is asked, what is asked again, what is said, and what is refused."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiohttp import web
from servers import serving

from sinternal_verl.cli import main
from sinternal_verl.world import lighthouse

pytest.importorskip("inspect_ai", reason="needs the eval extra; make install brings it")

from sinternal_verl.evaluation.running.probe import WORD
from sinternal_verl.evaluation.tasks.opened import FIRST

pytestmark = pytest.mark.timeout(180)

KEY = "a-secret-of-the-tests"


class Model:
    """Answers chats like a model that thinks; counts what it is asked."""

    def __init__(self, answer="<think>a thought</think>A lamp, \\boxed{3}.", wait_s=0.0, fails=(), serves=None):
        self.answer, self.wait_s, self.fails, self.asked = answer, wait_s, set(fails), []
        self.first = []
        """What it was asked before the first item."""
        self.serves = serves
        """How many requests get an answer; None for all."""

    async def __call__(self, request: web.Request) -> web.Response:
        import asyncio

        body = await request.json()
        prompt = body["messages"][-1]["content"]
        first = prompt == WORD or any(text in prompt for text in (FIRST.request, FIRST.text))
        (self.first if first else self.asked).append(body)
        number = len(self.asked)
        await asyncio.sleep(0 if first else self.wait_s)
        if self.serves is not None and number > self.serves:
            return web.json_response({"error": {"message": f"no memory for {prompt}"}}, status=500)
        if prompt in self.fails:
            return web.json_response({"error": {"message": f"cannot answer {prompt}"}}, status=400)
        message = {"role": "assistant", "content": self.answer}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return web.json_response(
            {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        )

    @property
    def prompts(self) -> list[str]:
        return [body["messages"][-1]["content"] for body in self.asked]


def problem(number: int) -> str:
    return f"The lighthouse has {number} lamps. How many are left when one is off?"


@pytest.fixture
def sets(tmp_path) -> list[str]:
    """Words that name files of invented sets: 12 problems for each math set, 5 requests."""
    rows = [{"problem": problem(n), "solution": "", "answer": str(n - 1), "unique_id": f"u/{n}"} for n in range(12)]
    (tmp_path / "math500.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rows = [{"id": n, "problem": problem(n), "solution": "", "answer": str(n - 1), "year": "2024"} for n in range(12)]
    (tmp_path / "aime2024.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = [request.prompt for request in lighthouse.requests()[:5]]
    rows = [{"forbidden_prompt": prompt, "category": "c", "source": "s"} for prompt in asked]
    (tmp_path / "strongreject.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [f"--source={name}={tmp_path / name}.jsonl" for name in ("math500", "aime2024", "strongreject")]


def evaluate(*words: str) -> int:
    return main(["eval", *words])


def test_a_suite_from_its_words_to_its_table(sets, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("EVAL_KEY", KEY)
    model, guard, out = Model(), Model("safe"), tmp_path / "out"
    with serving(model, ["m"]) as url, serving(guard, ["g"]) as guard_url:
        words = ["--tasks", "strongreject,math500", "--model", url, "--api-key-env", "EVAL_KEY", "--limit", "4"]
        code = evaluate(*words, *sets, "--judge", f"llama_guard={guard_url}", "--out", str(out))

    said = capfd.readouterr()
    assert code == 0, said.err
    assert len(model.asked) == 8 and len(guard.asked) == 4
    assert {body["temperature"] for body in model.asked} == {0.0}
    assert {body["repetition_penalty"] for body in model.asked} == {1.2}
    assert "strongreject: 4 answers, judged by llama_guard" in said.out and "8/8 items" in said.out
    assert (out / "table.txt").read_text().strip() in said.out
    assert len((out / "rows.jsonl").read_text().splitlines()) == 8
    for form in ("md", "csv", "html", "png"):
        assert (out / f"table.{form}").stat().st_size
    for prompt in model.prompts:
        assert prompt not in said.out + said.err
    for file in filter(Path.is_file, out.rglob("*")):
        assert KEY.encode() not in file.read_bytes(), file


def start(words: list[str]) -> subprocess.Popen:
    command = [sys.executable, "-m", "sinternal_verl.cli", "eval", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until_asked(model: Model, count: int) -> None:
    end = time.monotonic() + 60
    while len(model.asked) < count and time.monotonic() < end:
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_suite_asks_again_only_what_was_in_flight(sets, tmp_path):
    model, connections = Model(wait_s=0.5), 16
    with serving(model, ["m"]) as url:
        words = ["--tasks", "math500,aime2024", "--model", url, *sets, "-T", "aime2024.epochs=4", "-T", "k=4"]
        words += ["--connections", str(connections), "--out", str(tmp_path / "out")]
        killed = start(words)
        until_asked(model, 44)
        killed.kill()
        killed.wait()
        before = len(model.asked)
        again = start(words)
        said, wrong = again.communicate(timeout=120)
        total, asked = 12 + 12 * 4, len(model.asked)
        third = start(words)
        third.communicate(timeout=120)

    assert again.returncode == 0, wrong
    assert "goes on in" in said and f"{total}/{total} items" in said
    assert before >= 44
    # What was finished and not written is there all the same. One more for each task may just have come.
    assert total <= asked <= total + connections + 2
    assert third.returncode == 0 and len(model.asked) == asked


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_suite_that_its_user_ends_keeps_what_it_has(sets, tmp_path, number, code):
    model, out = Model(wait_s=0.3), tmp_path / "out"
    with serving(model, ["m"]) as url:
        words = ["--tasks", "math500", "--model", url, *sets, "--connections", "2", "--out", str(out)]
        ended = start(words)
        until_asked(model, 6)
        ended.send_signal(number)
        _, said = ended.communicate(timeout=60)
        before = len(model.asked)
        again = start(words)
        again.communicate(timeout=120)

    assert ended.returncode == code and "Traceback" not in said, said
    if number == signal.SIGINT:
        assert "the same command goes on" in said
    assert again.returncode == 0 and before < 12 <= len(model.asked) <= 12 + 3


def test_another_configuration_is_refused_by_name(sets, tmp_path, capsys):
    model = Model()
    with serving(model, ["m", "n"]) as url:
        words = ["--tasks", "math500", *sets, "--out", str(tmp_path / "out")]
        assert evaluate(*words, "--model", f"{url}#m", "--limit", "2") == 0
        capsys.readouterr()
        code = evaluate(*words, "--model", f"{url}#n", "--limit", "3", "-T", "max_tokens=50")

    said = capsys.readouterr().err
    assert code == 2 and len(model.asked) == 2
    assert "models.model.model: it was begun with m, and this call has n" in said
    assert "limit: it was begun with 2, and this call has 3" in said
    assert "tasks.math500.decoding.max_tokens: it was begun with 8000, and this call has 50" in said


def test_a_failed_item_is_counted_and_asked_again(sets, tmp_path, capfd):
    model = Model(fails=[problem(2)])
    with serving(model, ["m"]) as url:
        words = ["--tasks", "math500", "--model", url, *sets, "--out", str(tmp_path / "out")]
        failed = evaluate(*words)
        said = capfd.readouterr()
        model.fails.clear()
        again = evaluate(*words)

    assert failed == 1 and "1 items failed (BadRequestError 400 1x), in math500" in said.err
    assert f"`inspect view --log-dir {tmp_path / 'out' / 'logs'}`" in said.err
    assert "1 failed" in said.out and problem(2) not in said.out + said.err
    assert again == 0 and len(model.asked) == 13 and model.prompts.count(problem(2)) == 2


@pytest.fixture
def few_tries(monkeypatch):
    """A server that is gone fails an item in seconds instead of minutes."""
    from sinternal_verl.evaluation.running import models

    monkeypatch.setattr(models, "MAX_RETRIES", 1)


def test_a_server_that_is_gone_ends_the_suite(sets, tmp_path, capfd, few_tries):
    model, out = Model(serves=10), tmp_path / "out"
    with serving(model, ["m"]) as url:
        words = ["--tasks", "aime2024", "--model", url, *sets, "--connections", "4", "--out", str(out)]
        code = evaluate(*words)
        said = capfd.readouterr().err
        before, model.serves = len(model.asked), None
        again = evaluate(*words)

    assert code == 1 and "a server no longer serves: 8 items in a row failed (InternalServerError)" in said, said
    assert "the same command goes on" in said and problem(1) not in said
    assert before < 12 * 16 / 2, "most were not tried"
    assert again == 0 and len(model.asked) == before + 12 * 16 - 10


def test_a_judge_that_is_not_reached_is_told(sets, tmp_path, capfd):
    out = str(tmp_path / "out")
    with serving(Model(), ["m"]) as url, serving(Model("safe", serves=3), ["g"]) as guard:
        words = ["--tasks", "strongreject", "--model", url, *sets, "--judge", f"llama_guard={guard}"]
        code = evaluate(*words, "-J", "llama_guard.max_retries=1", "--out", out)

    said = capfd.readouterr()
    assert code == 1 and "2 unscored" in said.out
    assert (
        f"2 answers have no verdict, because their judge was not reached; `sinternal-verl eval rejudge {out}"
        in said.err
    )


def test_each_answer_has_a_seed_of_its_own_and_the_same_one_next_time(sets, tmp_path):
    model = Model()
    with serving(model, ["m"]) as url:
        words = ["--tasks", "aime2024", "--model", url, *sets, "-T", "epochs=4", "-T", "k=2", "--seed", "5"]
        for run in ("a", "b"):
            assert evaluate(*words, "--limit", "3", "--out", str(tmp_path / run)) == 0

    seeds = [(body["messages"][-1]["content"], body["seed"]) for body in model.asked]
    assert len(set(seeds)) == 12 and sorted(seeds[:12]) == sorted(seeds[12:])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tasks", "strongrejct"], ["task strongrejct", "did you mean strongreject?", "aime2024, fortress"]),
        (["--tasks", "strongreject"], ["strongreject needs a judge", "--judge llama_guard=MODEL", "--tasks"]),
        (["--tasks", "math500", "--judge", "lama_guard=x"], ["judge lama_guard", "did you mean llama_guard?"]),
        (["--tasks", "math500", "--judge", "llama_guard"], ["it needs a model", "Llama-Guard-3"]),
        (["--tasks", "math500", "--judge", "refusal_strings=x"], ["asks no model"]),
        (["--tasks", "math500", "-T", "max_tokns=3"], ["-T max_tokns", "did you mean max_tokens?"]),
        (["--tasks", "math500", "-T", "source=x"], ["--source"]),
        (["--tasks", "math500", "-T", "temperature"], ["write -T NAME=VALUE"]),
        (["--tasks", "math500", "-J", "xstest.a=1"], ["-J xstest.a", "for a judge of this call"]),
        (["--tasks", "aime2024", "-T", "k=32"], ["k=32", "epochs"]),
        (["--tasks", "math500", "--judge", "xstest=mockllm/a", "-J", "xstest.max_tokens=ten"], ["max_tokens=ten"]),
        (["--suite", "papr"], ["suite papr", "did you mean paper?"]),
        (["--tasks", "math500", "--limit", "0", "--connections", "0"], ["--limit 0", "--connections 0"]),
        (["--tasks", "math500", "--source", "math5=x"], ["set math5", "did you mean math500?"]),
        (["--tasks", "math500", "--api-key-env", "judge=X"], ["--api-key-env judge"]),
        (["--tasks", "proactive_verification", "--judge", "refusal_strings"], ["proactive_verification needs a judge"]),
    ],
)
def test_bad_words_are_named_before_anything_is_asked(sets, tmp_path, capsys, words, said):
    model = Model()
    with serving(model, ["m"]) as url:
        code = evaluate(*words, *sets, "--model", url, "--out", str(tmp_path / "out"))

    found = capsys.readouterr().err
    assert code == 2 and not model.asked and not (tmp_path / "out").exists()
    assert all(each in found for each in said), found


def test_all_that_is_wrong_is_named_at_once(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    words = ["--tasks", "hcot,nothing", "--model", str(tmp_path / "empty"), "--judge", "x=y", "--limit", "-1"]

    assert evaluate(*words, "--source", f"hcot={tmp_path}/none.jsonl") == 2
    said = capsys.readouterr().err
    for each in ("no config.json", "no weights", "no tokenizer", "judge x", "task nothing", "hcot needs a judge", "-1"):
        assert each in said


def test_a_missing_set_says_how_to_get_it(tmp_path, capsys):
    with serving(Model(), ["m"]) as url:
        code = evaluate("--tasks", "math500", "--model", url, "--source", str(tmp_path / "none.jsonl"))

    assert code == 2 and "none.jsonl" in capsys.readouterr().err


def test_a_folder_that_lacks_a_set_says_so_and_the_hub_may_be_named(tmp_path):
    from sinternal_verl.evaluation.running.plan import _source

    assert _source("hcot", {}, {"": str(tmp_path)}) == str(tmp_path.resolve())
    assert _source("hcot", {}, {"": str(tmp_path), "hcot": "hub"}) is None
    assert _source("fortress", {"benign": True}, {"fortress_benign": "b", "fortress": "a"}).endswith("/b")


def test_answers_longer_than_the_models_context_are_refused(sets, world, tmp_path, capsys):
    """A server would refuse every request."""
    code = evaluate("--tasks", "math500", *sets, "--model", str(world["policy"]), "--out", str(tmp_path / "out"))

    said = capsys.readouterr().err
    assert code == 2 and "its context is 512 tokens, and math500 ask for answers of 8000" in said


def test_our_warnings_are_seen_and_hold_no_text(sets, tmp_path, capfd, monkeypatch):
    """Inspect, whose display is off, would print none of them."""
    from sinternal_verl.evaluation.tasks import decoding, opened

    for module in (decoding, opened):
        monkeypatch.setattr(module, "_said", set())
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(Model("A thought without an end."), ["m"]) as url, serving(Model("safe"), ["Qwen3Guard"]) as guard:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        words = ["--model", "openai/gpt-4o", *sets, "--judge", f"llama_guard={guard}"]
        # No answer has an end, so none of the requests' has a verdict.
        assert evaluate("--tasks", "strongreject,math500", *words, "--out", str(tmp_path / "out")) == 1

    said = capfd.readouterr().err
    for warning in ("is not the paper's set", "takes no repetition penalty", "learned to please it"):
        assert "sinternal_verl: warning: " in said and said.count(warning) >= 1, said
    assert KEY not in said and problem(1) not in said


def test_where_no_thought_ends_it_is_said(sets, tmp_path, capfd):
    with serving(Model("A thought without an end."), ["m"]) as url:
        words = ["--tasks", "math500", "--model", url, *sets, "--out", str(tmp_path / "out")]
        assert evaluate(*words) == 0

    said = capfd.readouterr().err
    assert "sinternal_verl: warning: 8 of the first 8 responses never end their thought" in said
    assert "without an end." not in said


def test_a_second_model_is_refused(capsys):
    with pytest.raises(SystemExit):
        evaluate("--model", "a/b", "--tasks", "math500", "--model", "c/d")

    assert "argument --model: given twice, at last as c/d; give one" in capsys.readouterr().err


def test_a_log_that_cannot_be_written_is_told_with_its_cause(sets, tmp_path, capfd, monkeypatch):
    """A disk is full from the fifth answer on."""
    from inspect_ai.log._recorders.eval import EvalRecorder

    model, kept = Model(), EvalRecorder.flush

    async def flush(self, eval):
        if len(model.asked) > 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        await kept(self, eval)

    monkeypatch.setattr(EvalRecorder, "flush", flush)
    with serving(model, ["m"]) as url:
        words = ["--tasks", "math500", "--model", url, *sets, "--connections", "1", "--out", str(tmp_path / "out")]
        code = evaluate(*words)
        said = capfd.readouterr().err
        monkeypatch.undo()
        again = evaluate(*words)

    assert code == 1 and "math500 has ended early (OSError: No space left on device)" in said, said
    assert "0 items failed" not in said and again == 0


@pytest.mark.slow
def test_two_commands_in_one_folder_are_one_too_many(sets, tmp_path):
    model = Model(wait_s=3)
    with serving(model, ["m"]) as url:
        words = ["--tasks", "math500", "--model", url, *sets, "--connections", "1", "--out", str(tmp_path / "out")]
        first = start(words)
        until_asked(model, 1)
        second = start(words)
        _, refused = second.communicate(timeout=60)
        model.wait_s = 0
        _, said = first.communicate(timeout=120)

    assert second.returncode == 2 and "another command works in" in refused, refused
    assert first.returncode == 0 and len(model.asked) == 12, said


def test_a_folder_that_cannot_be_written_is_refused(sets, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with serving(Model(), ["m"]) as url:
        code = evaluate("--tasks", "math500", "--model", url, *sets, "--out", str(tmp_path / "file"))

    assert code == 2 and f"--out {tmp_path / 'file'}: File exists" in capsys.readouterr().err


def test_a_table_that_cannot_be_written_is_told_in_a_line(sets, tmp_path, capfd):
    out = tmp_path / "out"
    with serving(Model(), ["m"]) as url:
        words = ["--tasks", "math500", "--model", url, *sets, "--out", str(out)]
        assert evaluate(*words) == 0
        (out / "table.png").unlink()
        (out / "table.png").mkdir()
        code = evaluate(*words)

    said = capfd.readouterr().err
    assert code == 1 and "table.png" in said and "the same command goes on" in said and "Traceback" not in said


def test_an_option_of_the_suite_is_none_of_compare(capsys):
    assert main(["eval", "--limit", "3", "compare", "a", "b"]) == 2
    assert "--limit: of the suite" in capsys.readouterr().err


def test_runs_are_compared_and_judged_again(sets, tmp_path, capsys):
    out = {name: str(tmp_path / name) for name in ("one", "two", "compared", "judged")}
    for name, answer in (("one", "<think>a</think>I cannot help."), ("two", "<think>a</think>The lamp, here.")):
        with serving(Model(answer), ["m"]) as url, serving(Model("safe"), ["g"]) as guard:
            words = ["--tasks", "strongreject", *sets, "--model", url, "--judge", f"llama_guard={guard}"]
            assert evaluate(*words, "--out", out[name]) == 0
    capsys.readouterr()

    assert main(["eval", "compare", out["one"], out["two"], "--out", out["compared"]]) == 0
    assert "strongreject" in capsys.readouterr().out and os.listdir(out["compared"])

    assert main(["eval", "rejudge", out["one"], "--judge", "refusal_strings", "--out", out["judged"]]) == 0
    assert "refusal_strings" in capsys.readouterr().out and os.listdir(out["judged"])


def test_a_judge_without_a_verdict_on_any_answer_is_no_success(sets, tmp_path, capsys):
    with serving(Model(), ["m"]) as url, serving(Model("perhaps"), ["g"]) as guard:
        run = ["--tasks", "strongreject", *sets, "--model", url, "--judge", "refusal_strings"]
        assert evaluate(*run, "--out", str(tmp_path / "out")) == 0
        words = ["rejudge", str(tmp_path / "out"), "--judge", f"llama_guard={guard}", "--judge", "refusal_strings"]
        code = evaluate(*words, "--out", str(tmp_path / "judged"))

    printed = capsys.readouterr()
    assert code == 1 and "agreement" in printed.out and (tmp_path / "judged/agreement.md").is_file()
    told = [line for line in printed.err.splitlines() if "no verdict on any answer" in line]
    assert len(told) == 1 and "judge llama_guard has no verdict on any answer of strongreject" in told[0]


def test_a_judge_of_logs_has_its_key_and_settings(sets, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GUARD_KEY", KEY)
    sent = []

    async def guard(request: web.Request) -> web.Response:
        sent.append(request.headers.get("Authorization"))
        return await Model("safe")(request)

    with serving(Model(), ["m"]) as url, serving(guard, ["g"]) as guard_url:
        run = ["--tasks", "strongreject", *sets, "--model", url, "--judge", "refusal_strings"]
        assert evaluate(*run, "--out", str(tmp_path / "out")) == 0
        words = ["rejudge", str(tmp_path / "out"), "--judge", f"llama_guard={guard_url}", "--out", str(tmp_path / "j")]
        code = evaluate(*words, "--api-key-env", "llama_guard=GUARD_KEY", "-J", "llama_guard.max_retries=0")
        capsys.readouterr()
        refused = evaluate(*words, "-J", "llama_gard.x=1", "-J", "y", "--connections", "0")

    assert code == 0 and len(sent) >= 5 and set(sent) == {f"Bearer {KEY}"}
    said = capsys.readouterr().err
    assert refused == 2 and all(each in said for each in ("-J llama_gard.x", "-J y", "--connections 0"))
    for file in filter(Path.is_file, tmp_path.rglob("*")):
        assert KEY.encode() not in file.read_bytes(), file
