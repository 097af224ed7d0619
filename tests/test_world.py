"""The world is made the same from a seed, and its problems are what they say."""

import pyarrow.parquet as pq
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from sinternal_verl.world import arithmetic


def test_a_right_completion_earns_the_reward_and_a_forgotten_carry_never_does():
    from sinternal_verl.reward_fns.boxed_math import compute_score

    for problem in arithmetic.all_problems():
        assert compute_score("", problem.completion(forget_carry=False), problem.answer)["score"] == 1.0
        assert compute_score("", problem.completion(forget_carry=True), problem.answer)["score"] == 0.0


def test_held_out_problems_are_in_no_other_file(world):
    prompts = {n: {str(p) for p in pq.read_table(world[n])["prompt"].to_pylist()} for n in ("sft", "train", "held_out")}

    assert len(prompts["held_out"]) == 64
    assert not prompts["held_out"] & (prompts["sft"] | prompts["train"])


def test_same_seed_same_files_other_seed_others(tmp_path):
    first, again, other = (arithmetic.write_datasets(tmp_path / str(i), seed) for i, seed in enumerate((1, 1, 2)))

    for name in first:
        assert pq.read_table(first[name]) == pq.read_table(again[name])
    assert pq.read_table(first["held_out"]) != pq.read_table(other["held_out"])


def test_policy_has_a_million_parameters_and_a_tokenizer_that_encodes_any_text(world):
    policy = AutoModelForCausalLM.from_pretrained(world["policy"])
    tokenizer = AutoTokenizer.from_pretrained(world["policy"])

    assert 1e6 <= sum(parameter.numel() for parameter in policy.parameters()) <= 3e6
    for text in ("12+34", "naïve 你好 \U0001f600", "</think>\n\n\\boxed{85}"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_think_tags_survive_decoding_without_special_tokens(world):
    tokenizer = AutoTokenizer.from_pretrained(world["policy"])
    ids = tokenizer.encode("a</think>b", add_special_tokens=False)

    assert tokenizer.decode(ids, skip_special_tokens=True) == "a</think>b"


@pytest.mark.parametrize("forget_carry", [True, False])
def test_chat_template_opens_the_thought_and_drops_it_from_past_turns(world, forget_carry):
    tokenizer = AutoTokenizer.from_pretrained(world["policy"])
    problem = arithmetic.Problem(47, 38)
    messages = [
        {"role": "user", "content": problem.prompt},
        {"role": "assistant", "content": problem.completion(forget_carry)},
    ]

    assert tokenizer.apply_chat_template(messages[:1], add_generation_prompt=True, tokenize=False).endswith("<think>\n")
    assert "7+8" not in tokenizer.apply_chat_template(messages, tokenize=False)
