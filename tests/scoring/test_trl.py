"""The scorers as a reward function of TRL: what it reads of a reply, its names, what it logs, and pickling. The replies
are parsed by TRL's own parser."""

import multiprocessing
import pickle
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from sinternal_verl.scoring.registry import ScorerError
from sinternal_verl.scoring.trl import TRLReward, text_of
from sinternal_verl.world import arithmetic
from sinternal_verl.world.policy_model import make_tokenizer

MATH = {"boxed_math": {"sources": ["*"]}}
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'


def ask(reward, *completions, truth="4", source="math", **others):
    rows = len(completions)
    return reward(
        ["2+2?"] * rows,
        list(completions),
        data_source=[source] * rows,
        reward_model=[{"ground_truth": truth}] * rows,
        **others,
    )


def said(content, role="assistant", **fields):
    return {"role": role, "content": content, **fields}


@pytest.fixture(scope="module")
def tokenizer():
    """A policy's tokenizer with a chat template for which TRL has a parser."""
    pytest.importorskip("trl", reason="TRL is not installed; tests/e2e/test_trl_environment.py runs this where it is")
    from trl import chat_template_utils

    tokenizer = make_tokenizer(arithmetic.corpus())
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>"})
    tokenizer.chat_template = (
        Path(chat_template_utils.__file__).with_name("chat_templates").joinpath("qwen3.jinja").read_text()
    )
    return chat_template_utils.add_response_schema(tokenizer)


def parsed(tokenizer, reply: str):
    from trl.chat_template_utils import parse_response

    ids = tokenizer(reply + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
    return [parse_response(tokenizer, ids, prefix=[])], ids


# ------------------------------------------------------------------ what is read


@pytest.mark.parametrize(
    ("reply", "reward"),
    [
        ("<think>\n2+2=4\n</think>\n\n\\boxed{4}", 1.0),
        ("2+2=4\n</think>\n\n\\boxed{4}", 1.0),
        ("<think>\n\n</think>\n\n\\boxed{4}", 1.0),
        ("<think>\n\\boxed{4}", 0.0),
        ("\\boxed{4}", 0.0),
        ("<think>\n\\boxed{4}\n</think>\n\n5", 0.0),
    ],
)
def test_a_parsed_reply_is_worth_what_its_text_is(tokenizer, reply, reward):
    completion, ids = parsed(tokenizer, reply)
    scored = TRLReward(MATH, tokenizer=tokenizer)

    assert ask(scored, completion, completion_ids=[ids]) == [reward]
    assert ask(TRLReward(MATH), reply) == [reward]


def test_without_a_tokenizer_a_thought_in_a_field_is_read(tokenizer):
    completion, _ = parsed(tokenizer, "<think>\n2+2=4\n</think>\n\n\\boxed{4}")

    assert completion == [said("\\boxed{4}", reasoning_content="2+2=4")]
    assert ask(TRLReward(MATH), completion) == [1.0]


@pytest.mark.parametrize("field", ["reasoning_content", "thinking", "reasoning"])
def test_each_name_of_the_field_is_known(field):
    assert ask(TRLReward(MATH), [said("\\boxed{4}", **{field: "Hm."})]) == [1.0]


@pytest.mark.parametrize("thought", ["<think>\n1+2=3\n</think>\n\n", "<think>\n\n</think>\n\n", ""])
def test_an_answer_after_a_tool_call_ends_a_thought_that_came_before_the_call(tokenizer, thought):
    call, ids = parsed(tokenizer, thought + CALL)
    assert call[0]["tool_calls"]
    completion = [*call, said("3", role="tool"), said("\\boxed{4}")]

    assert ask(TRLReward(MATH), completion) == [1.0]
    # The tokens of such a completion hold the tool's text, too.
    assert ask(TRLReward(MATH, tokenizer=tokenizer), completion, completion_ids=[ids]) == [1.0]


@pytest.mark.parametrize(
    "completion",
    [
        [said("Hm.</think>I ask."), said("\\boxed{4}", role="tool")],
        [said("Hm."), said("</think>\\boxed{4}", role="user")],
        [said("Hm.</think>\\boxed{5}"), said("\\boxed{4}", role="tool")],
        [said("</think>\\boxed{4}", role="tool")],
        [],
    ],
)
def test_only_the_assistants_text_counts(completion):
    assert ask(TRLReward(MATH), completion) == [0.0]


def test_content_may_be_blocks_or_none():
    blocks = [{"type": "text", "text": "Hm.</think>"}, {"type": "image"}, {"type": "text", "text": "\\boxed{4}"}]

    assert text_of([said(None), said(blocks)]) == "Hm.</think>\\boxed{4}"


def test_an_end_of_thought_that_is_a_special_token_is_seen_in_the_tokens():
    tokenizer = make_tokenizer(arithmetic.corpus())
    tokenizer.add_special_tokens({"additional_special_tokens": ["</think>", "<|im_end|>"]})
    ids = tokenizer("2+2=4</think>\\boxed{4}<|im_end|>" + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
    decoded = tokenizer.decode(ids, skip_special_tokens=True)

    assert ask(TRLReward(MATH), decoded, completion_ids=[ids]) == [0.0]
    assert ask(TRLReward(MATH, tokenizer=tokenizer), decoded, completion_ids=[ids]) == [1.0]
    assert ask(TRLReward(MATH, tokenizer=tokenizer), decoded, completion_ids=[ids[:-3]], truth="4") == [0.0]


def test_a_tokenizer_may_be_its_folder(tmp_path):
    make_tokenizer(arithmetic.corpus()).save_pretrained(tmp_path)
    reward = pickle.loads(pickle.dumps(TRLReward(MATH, tokenizer=tmp_path)))
    ids = make_tokenizer(arithmetic.corpus())("Hm.</think>\\boxed{4}", add_special_tokens=False)["input_ids"]

    assert ask(reward, "\\boxed{4}", completion_ids=[ids]) == [1.0]


def test_a_model_that_does_not_think_needs_no_end_of_thought():
    assert ask(TRLReward({"boxed_math": {"sources": ["*"], "thought": "none"}}), [said("\\boxed{4}")]) == [1.0]


def test_when_most_replies_end_no_thought_a_warning_says_so_once(caplog):
    reward = TRLReward(MATH, name="math")
    ask(reward, "Hm.</think>\\boxed{4}", "\\boxed{4}")
    assert caplog.messages == []
    for _ in range(2):
        ask(reward, "\\boxed{4}", "\\boxed{4}", "Hm.</think>\\boxed{4}")

    (message,) = caplog.messages
    assert message.startswith("math: 2 of 3 replies have no </think>") and "thought: none" in message


# ------------------------------------------------------------------ names, logs, processes


def test_two_instances_have_two_names():
    first, second, other = TRLReward(MATH), TRLReward(MATH), TRLReward(MATH | {"verdict": {"sources": ["v"]}})

    assert len({first.__name__, second.__name__, other.__name__}) == 3
    assert first.__name__.startswith("boxed_math") and other.__name__.startswith("boxed_math+verdict")
    assert TRLReward(MATH, name="mine").__name__ == TRLReward(MATH, name="mine").__name__ == "mine"


def test_shares_of_outcomes_are_logged_by_source_with_their_zeros():
    metrics, columns = defaultdict(list), {}
    reward = TRLReward(MATH, name="mine")

    def log(*completions, source):
        ask(
            reward,
            *completions,
            source=source,
            log_metric=lambda name, value: metrics[name].append(value),
            log_extra=columns.__setitem__,
        )

    right, wrong = "</think>\\boxed{4}", "</think>\\boxed{5}"
    log(right, wrong, wrong, "", source="math@a:b")
    log(right, right, right, right, source="math@a:b")
    log(right, source="other")

    assert metrics == {
        "mine/math@a:b/scored": [1.0, 1.0],
        "mine/math@a:b/outcome/correct": [0.25, 1.0],
        "mine/math@a:b/outcome/mismatch": [0.5, 0.0],
        "mine/math@a:b/outcome/thought_unclosed": [0.25, 0.0],
        "mine/other/scored": [1.0],
        "mine/other/outcome/correct": [1.0],
    }
    assert columns == {"mine/outcome": ["correct"], "mine/reason": [""]}


def test_what_has_no_verdict_is_logged_with_its_reason():
    columns = {}
    rewards = ask(TRLReward(MATH, name="mine"), "</think>\\boxed{4}", truth="", log_extra=columns.__setitem__)

    assert rewards == [None]
    assert columns["mine/outcome"] == ["bad_gold"] and columns["mine/reason"][0]


def test_another_process_gets_the_same_function():
    reward = TRLReward(MATH, name="mine")
    assert ask(reward, "</think>\\boxed{4}") == [1.0]  # its event loop runs, and cannot be pickled
    row = {"data_source": ["math"], "reward_model": [{"ground_truth": "4"}]}
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(reward, ["2+2?"], ["</think>\\boxed{4}"], **row).result(60) == [1.0]
        assert pool.submit(getattr, reward, "__name__").result(60) == "mine"


FORKS = """
import os
from sinternal_verl.scoring.trl import TRLReward
reward = TRLReward({"boxed_math": {"sources": ["*"]}})
ask = lambda: reward(["?"], ["</think>4 \\\\boxed{4}"], data_source=["a"], reward_model=[{"ground_truth": "4"}])
assert ask() == [1.0]
child = os.fork()
if child == 0:
    os._exit(0 if ask() == [1.0] else 1)
assert os.waitpid(child, 0)[1] == 0 and ask() == [1.0]
"""


def test_a_forked_process_gets_an_event_loop_of_its_own():
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKS], check=True, timeout=60)


def test_a_scorer_that_cannot_be_used_is_found_at_once():
    with pytest.raises(ScorerError, match="no_such"):
        TRLReward({"no_such": {"sources": ["*"]}})
