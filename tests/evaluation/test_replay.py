"""Stored responses as a model."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("inspect_ai", reason="Inspect needs Python 3.11")

from inspect_ai import Task, eval
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.dataset import Sample
from inspect_ai.model import get_model

from sinternal_verl.evaluation.tasks.asking import ask_model
from sinternal_verl.evaluation.tasks.replay import read_responses, stop_of

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "May I?"}]


def write(folder, *rows):
    path = folder / "responses.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


def run(path, prompts, folder, epochs=1):
    task = Task([Sample(input=prompt) for prompt in prompts], solver=ask_model("none"), epochs=epochs)
    how = {"display": "none", "log_dir": str(folder / "logs"), "temperature": 0.6}
    return eval(task, model=f"sinternal_replay/{path}", **how)[0]


def test_each_epoch_has_its_own_response_and_a_cut_one_says_so(tmp_path):
    path = write(
        tmp_path,
        {"prompt": "May I?", "response": "No."},
        {"prompt": MESSAGES, "response": "N", "finish": "length"},
        {"prompt": "And I?", "response": "Yes."},
        {"prompt": "And I?", "response": "Yes!"},
    )
    log = run(path, ["And I?", "May I?"], tmp_path, epochs=2)

    assert log.status == "success", log.error
    found = {(sample.input, sample.epoch): sample.output for sample in log.samples}
    assert {key: output.completion for key, output in found.items()} == {
        ("May I?", 1): "No.",
        ("May I?", 2): "N",
        ("And I?", 1): "Yes.",
        ("And I?", 2): "Yes!",
    }
    assert found["May I?", 2].stop_reason == "max_tokens"


@pytest.mark.parametrize(
    ("prompt", "epochs", "words"), [("Who?", 1, "has 0 responses"), ("May I?", 2, "has 1 response")]
)
def test_a_response_that_is_not_there_is_an_error_and_shows_no_prompt(tmp_path, prompt, epochs, words):
    log = run(write(tmp_path, {"prompt": "May I?", "response": "No."}), [prompt], tmp_path, epochs)

    assert log.status == "error" and words in log.error.message and prompt not in log.error.message


@pytest.mark.parametrize(
    "row", [{"prompt": "May I?"}, {"response": "No."}, {"prompt": [{"role": "user"}], "response": "No."}, {"prompt": 3}]
)
def test_a_row_without_prompt_or_response_is_named(tmp_path, row):
    path = write(tmp_path, {"prompt": "May I?", "response": "No."}, row)
    with pytest.raises(PrerequisiteError, match=r"line 2.*needs prompt and response"):
        read_responses(path)


@pytest.mark.parametrize(
    ("end", "stop"),
    [
        ({}, "stop"),
        ({"finish": None}, "stop"),
        ({"finish": ""}, "stop"),
        ({"finish": "stop"}, "stop"),
        ({"finish": "end_turn"}, "stop"),
        ({"finish": "length"}, "max_tokens"),
        ({"finish": "MAX_TOKENS"}, "max_tokens"),
        ({"finish_reason": "length"}, "max_tokens"),
        ({"stop_reason": "max_tokens"}, "max_tokens"),
        ({"finish": None, "finish_reason": "length"}, "max_tokens"),
        ({"finish": "length", "stop_reason": "max_tokens"}, "max_tokens"),
        ({"finish": float("nan")}, "stop"),
        ({"finish": "content_filter"}, "content_filter"),
        ({"finish": "tool_calls"}, "tool_calls"),
        ({"finish_reason": {"type": "length", "length": 64}}, "max_tokens"),  # SGLang
        ({"finish_reason": "stop", "stop_reason": 151645}, "stop"),  # vLLM: the token
        ({"finish_reason": "stop", "stop_reason": "<|im_end|>"}, "stop"),  # and the text
    ],
)
def test_how_a_response_ended_is_read_in_the_words_of_any_usual_server(end, stop):
    assert stop_of({"prompt": "May I?", "response": "No.", **end}) == stop


@pytest.mark.parametrize("column", ["finish", "finish_reason", "stop_reason"])
@pytest.mark.parametrize("word", ["cut", "error", "abort", "lenght", 5, True, ["length"], {"reason": "length"}])
def test_an_end_that_is_not_known_is_named_and_not_taken_for_a_whole_response(tmp_path, column, word):
    path = write(tmp_path, {"prompt": "May I?", "response": "No."}, {"prompt": "I?", "response": "N", column: word})

    with pytest.raises(PrerequisiteError, match=rf"line 2: {column}=.*write stop or length"):
        read_responses(path)


def test_what_an_answer_stopped_at_does_not_say_how_it_ended(tmp_path):
    row = {"prompt": "May I?", "response": "No.", "finish_reason": "abort", "stop_reason": "<|im_end|>"}

    with pytest.raises(PrerequisiteError, match="line 1: finish_reason=abort: this is no known end"):
        read_responses(write(tmp_path, row))


def test_two_ends_that_differ_are_named(tmp_path):
    path = write(tmp_path, {"prompt": "May I?", "response": "No.", "finish": "stop", "finish_reason": "length"})

    with pytest.raises(PrerequisiteError, match="line 1: finish=stop, finish_reason=length: they differ"):
        read_responses(path)


def test_a_file_that_is_not_there_is_said_when_the_model_is_made():
    with pytest.raises(PrerequisiteError, match="does not exist"):
        get_model("sinternal_replay//no/such/responses.jsonl")


@pytest.mark.slow
def test_inspects_own_command_runs_a_task_and_prints_what_is_wrong_without_a_traceback(tmp_path):
    source = tmp_path / "requests.jsonl"
    source.write_text(json.dumps({"prompt": "May I lend the lamp?", "label": "unsafe"}) + "\n")
    path = write(tmp_path, {"prompt": "May I lend the lamp?", "response": "I asked.</think>I cannot help with that."})
    words = [sys.executable, "-m", "inspect_ai", "eval", "sinternal_verl/strongreject", "--display", "plain"]
    words += ["-T", f"source={source}", "--model", f"sinternal_replay/{path}", "--log-dir", str(tmp_path / "logs")]

    found = subprocess.run([*words, "-T", "judge=refusal_strings"], capture_output=True, text=True, timeout=100)
    assert found.returncode == 0 and "mean     1.000" in found.stdout

    found = subprocess.run([*words, "-T", "juge=refusal_strings"], capture_output=True, text=True, timeout=100)
    said = found.stdout + found.stderr
    assert found.returncode == 1 and "did you mean" in said and "Traceback" not in said
