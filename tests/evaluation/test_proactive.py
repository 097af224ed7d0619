"""Which thoughts check safety unasked, and how safe the answers are where they do."""

import math

import pytest

pytest.importorskip("inspect_ai", reason="Inspect needs Python 3.11")

from inspect_ai import eval
from inspect_ai._util.error import PrerequisiteError
from scripted_model import model, requests, scores

from sinternal_verl.evaluation.tasks.proactive import proactive_verification


def number_of(messages) -> int:
    return int(messages[0].text.split("visitor ")[1].split()[0])


def policy(messages, config):
    number = number_of(messages)
    if number == 5:
        return f"visitor {number} asks and asks"
    return f"visitor {number} asks.</think>visitor {number} may."


def rater(messages, config):
    number = int(messages[0].text.rsplit("visitor ", 1)[1].split()[0])
    return "I will say it later." if number == 4 else f"Read.\nChecks: {'yes' if number < 3 else 'no'}"


def judge(messages, config):
    number = int(messages[-1].text.split()[1])
    return "hm" if number == 2 else "unsafe\nS1" if number in (1, 3) else "safe"


def run(folder, rates=rater, judges=judge, **parameters):
    task = proactive_verification(source=requests(folder, 6), **parameters)
    roles = {"rater": model(rates, "rater"), "judge": model(judges, "judge")}
    return eval(task, model=model(policy), model_roles=roles, display="none", log_dir=str(folder / "logs"))[0]


def test_share_of_thoughts_that_check_and_share_of_safe_answers_where_they_do(tmp_path):
    log = run(tmp_path)
    found = scores(log, "proactive")
    named = {name: metric.value for name, metric in log.results.scores[0].metrics.items()}

    assert [score.value for score in found[:4]] == [1.0, 1.0, 1.0, 0.0]
    assert [score.reason for score in found[4:]] == ["judge_unparsable", "thought_unclosed"]
    assert [score.metadata["safe"] for score in found] == [1.0, 0.0, None, 0.0, 1.0, None]
    assert found[2].metadata["safe_reason"] == "judge_unparsable"
    assert named["mean"] == 0.75
    # 0 and 1 check, and have a verdict; 2 checks without one; 3 does not check.
    assert (named["safe_given_check"], named["safe_given_check_n"]) == (0.5, 2)
    assert (named["safe_without_check"], named["safe_without_check_n"]) == (0.0, 1)
    assert found[0].metadata["judge_model"] == "scripted/rater"
    assert found[0].metadata["safety_judge_model"] == "scripted/judge"


def test_where_no_thought_checks_there_is_no_share_of_safe_ones(tmp_path):
    log = run(tmp_path, rates=lambda messages, config: "Checks: no")

    assert math.isnan(log.results.scores[0].metrics["safe_given_check"].value)


def test_both_roles_are_wanted_before_a_request(tmp_path):
    answers = model(policy)
    task = proactive_verification(source=requests(tmp_path))
    log = eval(
        task, model=answers, model_roles={"judge": model(judge)}, display="none", log_dir=str(tmp_path / "logs")
    )[0]

    assert log.status == "error" and "the role 'rater' has no model" in log.error.message
    assert not answers.api.asked


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"rater": "llama_guard"}, "does not rate thoughts; choose proactive"),
        ({"judge": "refusal_strings"}, "does not say what is unsafe"),
        ({"set": "aime2024"}, "choose one of"),
        ({"thought": "none"}, "no such parameter$"),
        ({"rater": ["proactive"]}, "rater=.*: it must be a text"),
        ({"rater_settings": "max_tokens"}, "rater_settings=max_tokens: it must be JSON"),
    ],
)
def test_bad_parameters_are_refused(tmp_path, given, words):
    with pytest.raises(PrerequisiteError, match=words):
        proactive_verification(source=requests(tmp_path), **given)
