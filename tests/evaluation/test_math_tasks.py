r"""MATH-500 and AIME 2024 as tasks: whole solutions through Inspect, and pass@k held against its formula."""

import json
import math
import random

import pytest

pytest.importorskip("inspect_ai", reason="Inspect needs Python 3.11")

from benchmark_sets import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st
from inspect_ai import Epochs, eval
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import Score
from scripted_model import model, scores

from sinternal_verl.data.math import INSTRUCTION
from sinternal_verl.evaluation.tasks.math_tasks import aime2024, math500

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def problems(tmp_path):
    path = tmp_path / "problems.jsonl"
    rows = [{"problem": f"Orla has {number} nets and mends one more. How many?", "answer": str(number + 1)}
            for number in range(4)]  # fmt: skip
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


def run(task, policy, folder, **options):
    options = {"display": "none", "log_dir": str(folder / "logs")} | options
    return eval(task, model=model(policy) if callable(policy) or isinstance(policy, str) else policy, **options)[0]


def right(messages, config):
    return f"It mends.</think>\\boxed{{{int(messages[-1].text.split()[2]) + 1}}}"


def test_right_is_1_and_whatever_is_no_answer_is_0_and_in_the_mean(problems, tmp_path):
    said = [
        right,
        lambda messages, config: r"\boxed{1} is a thought",
        lambda messages, config: "It mends.</think>",
        lambda messages, config: ModelOutput.from_content("m", "It mends", "max_tokens"),
    ]
    log = run(math500(problems), lambda m, c: said[int(m[-1].text.split()[2])](m, c), tmp_path)
    found = scores(log, "accuracy")

    assert [score.value for score in found] == [1.0, 0.0, 0.0, 0.0]
    assert [score.metadata["outcome"] for score in found] == [
        *("correct", "thought_unclosed", "no_box", "thought_unclosed")
    ]
    assert [score.metadata["truncated"] for score in found] == [False, False, False, True]
    assert [score.metadata["empty"] for score in found] == [False, False, True, False]
    assert log.results.scores[0].metrics["mean"].value == 0.25 and log.results.scores[0].unscored_samples == 0


def test_a_ground_truth_that_is_none_is_unscored(tmp_path, problems):
    task = math500(problems)
    task.dataset[0].target = " "
    log = run(task, right, tmp_path)

    assert scores(log, "accuracy")[0].reason == "bad_gold" and log.results.scores[0].unscored_samples == 1


@pytest.mark.parametrize(("given", "sent"), [({}, ""), ({"instruction": "boxed"}, f"\n{INSTRUCTION}")])
def test_the_bare_problem_is_sent_unless_a_box_is_asked_for(problems, tmp_path, given, sent):
    policy = model(right)
    run(math500(problems, **given), policy, tmp_path)

    assert f"Orla has 2 nets and mends one more. How many?{sent}" in [text for text, _ in policy.api.asked]


def test_a_model_that_does_not_think_answers_with_all_it_says(problems, tmp_path):
    log = run(math500(problems, thought="none"), lambda m, c: right(m, c).partition("</think>")[2], tmp_path)

    assert [score.value for score in scores(log, "accuracy")] == [1.0] * 4


def test_pass_at_k_of_sixteen_samples(problems, tmp_path):
    """Problem n is answered rightly in n of its epochs."""
    asked: dict[str, int] = {}

    def sometimes(messages, config):
        text = messages[-1].text
        asked[text] = asked.get(text, 0) + 1
        return right(messages, config) if asked[text] <= int(text.split()[2]) else "It mends.</think>No."

    log = run(aime2024(problems, k=4, epochs=8), sometimes, tmp_path)
    by_reducer = {score.reducer: score.metrics["mean"].value for score in log.results.scores}

    wanted = [1 - math.comb(8 - right, 4) / math.comb(8, 4) for right in range(4)]
    assert by_reducer["pass_at_4"] == pytest.approx(sum(wanted) / 4)
    assert by_reducer["mean"] == pytest.approx((0 + 1 + 2 + 3) / 8 / 4)
    assert log.eval.metadata["figures"]["accuracy"]["metric"] == "pass@4"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=24), st.data())
def test_pass_at_k_is_the_share_of_draws_of_k_with_a_right_one(right, data):
    k = data.draw(st.integers(1, len(right)))
    [reduce] = Epochs(len(right), f"pass_at_{k}").reducer
    wrong = right.count(False)

    wanted = 1 - math.comb(wrong, k) / math.comb(len(right), k)
    assert reduce([Score(value=float(each)) for each in right]).value == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"k": 17}, "k=17 with epochs=16"),
        ({"k": 0}, "k=0: give a whole number"),
        ({"epochs": 4}, "k=16 with epochs=4"),
        ({"temperature": 0}, "epochs=16 at temperature=0"),
        ({"mode": "loose"}, "mode=loose: choose of literal, normalized, symbolic"),
        ({"instruction": "box"}, "instruction='box'; choose one of none, boxed"),
    ],
)
def test_bad_parameters_are_refused(problems, given, words):
    with pytest.raises(PrerequisiteError, match=words):
        aime2024(problems, **given)


def test_k_above_the_epochs_of_the_command_line_is_refused(problems, tmp_path):
    policy = model(right)
    with pytest.raises(PrerequisiteError, match="requires 16 epochs"):
        run(aime2024(problems), policy, tmp_path, epochs=8)
    assert not policy.api.asked


@pytest.fixture(scope="module")
def solutions():
    """Problem and solution of each row of MATH-500."""
    path = SHARED / "math500.jsonl"
    if not path.is_file():
        pytest.skip("MATH-500 is not beside this checkout")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {row["problem"]: row["solution"] for row in rows}


def _answer_by(solutions):
    return lambda messages, config: f"I know it.</think>{solutions[messages[-1].text]}"


def test_the_gold_solutions_of_math500_score_500_of_500(solutions, tmp_path):
    log = run(math500(str(SHARED / "math500.jsonl")), _answer_by(solutions), tmp_path, log_realtime=False)

    assert sum(score.value for score in scores(log, "accuracy")) == 500
    assert log.eval.metadata["origin"]["same"]


def test_shuffled_solutions_of_math500_score_about_0(solutions, tmp_path):
    texts = list(solutions.values())
    random.Random(1).shuffle(texts)
    log = run(
        math500(str(SHARED / "math500.jsonl")),
        _answer_by(dict(zip(solutions, texts, strict=True))),
        tmp_path,
        log_realtime=False,
    )

    assert sum(score.value for score in scores(log, "accuracy")) < 15


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real sets are not beside this checkout")
def test_aime2024_has_30_problems_and_sixteen_epochs():
    task = aime2024(str(SHARED / "aime2024.jsonl"))

    assert (len(task.dataset), task.epochs) == (30, 16)
    assert all(sample.target.isdigit() for sample in task.dataset)


def test_symbolic_comparison_is_that_of_the_reward(tmp_path):
    pytest.importorskip("math_verify")
    path = tmp_path / "problem.jsonl"
    path.write_text('{"problem": "Orla has 1 net for 2 keepers. How much has each?", "answer": "x^2-1"}\n')
    said = r"It shares.</think>\boxed{(x-1)(x+1)}"

    values = [
        scores(run(math500(str(path), mode=mode), said, tmp_path), "accuracy")[0].value
        for mode in ("literal", "normalized", "symbolic")
    ]
    assert values == [0.0, 0.0, 1.0]
