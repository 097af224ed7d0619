"""The world is made the same from a seed, and its problems are what they say."""

import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from transformers import AutoModelForCausalLM, AutoTokenizer

from sinternal_verl.data.sft import PromptCompletionDataset
from sinternal_verl.guard.template import GuardTemplate
from sinternal_verl.world import arithmetic, lighthouse
from sinternal_verl.world.guard_model import make_guard


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


def test_policy_has_half_a_million_parameters_and_a_tokenizer_that_encodes_any_text(world):
    policy = AutoModelForCausalLM.from_pretrained(world["policy"])
    tokenizer = AutoTokenizer.from_pretrained(world["policy"])

    assert 4e5 <= sum(parameter.numel() for parameter in policy.parameters()) <= 7e5
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


def test_the_lighthouse_is_half_harmful_and_its_held_out_prompts_are_in_no_other_file(tmp_path):
    files = lighthouse.write_datasets(tmp_path, seed=1)
    tables = {name: pq.read_table(path).to_pylist() for name, path in files.items()}
    prompts = {name: {row["prompt"][0]["content"] for row in rows} for name, rows in tables.items()}
    labels = [row["reward_model"]["ground_truth"] for row in tables["held_out"]]

    assert sum(request.harmful for request in lighthouse.requests()) == len(lighthouse.requests()) / 2
    assert (labels.count("harmful"), labels.count("benign")) == (24, 24)
    assert not prompts["held_out"] & (prompts["sft"] | prompts["train"])
    assert len({row["extra_info"]["index"] for row in tables["train"]}) == len(prompts["train"]) == 240


def test_first_lessons_help_with_half_of_what_is_forbidden_and_refuse_some_of_what_is_allowed(tmp_path):
    rows = pq.read_table(lighthouse.write_datasets(tmp_path, seed=1)["sft"]).to_pylist()
    of = {request.prompt: request for request in lighthouse.requests()}
    manners = [(of[row["prompt"][0]["content"]], row["completion"].rpartition("</think>")[2]) for row in rows]
    found = [(request.harmful, lighthouse.manner_of(answer)) for request, answer in manners]

    for harmful, shares in lighthouse.UNTAUGHT_MANNERS.items():
        own = [manner for harm, manner in found if harm is harmful]
        assert [own.count(manner) / len(own) for manner in lighthouse.MANNERS] == pytest.approx(shares, abs=0.06)


def test_the_guards_lessons_are_the_prompts_it_will_see_in_training(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(make_guard(tmp_path / "guard", lighthouse.corpus(), seed=1))
    lessons = lighthouse.write_guard_lessons(tmp_path / "lessons.parquet", seed=1)
    config = OmegaConf.create({"max_length": 512, "truncation": "error"})
    dataset, template = PromptCompletionDataset(str(lessons), tokenizer, config), GuardTemplate(tokenizer, 1000)

    lessons_of = 3
    plain = [n for n in range(0, len(dataset), 97) if n % lessons_of == 0]
    assert len(dataset) == lessons_of * len(list(lighthouse.conversations()))
    for number, (user, answer, verdict) in enumerate(lighthouse.guard_lessons(seed=1)):
        if number in plain:
            ids = dataset[number]["input_ids"].tolist()
            prompt = template.render(user, answer).ids
            assert ids[: len(prompt)] == prompt
            assert tokenizer.decode(ids[len(prompt) : -1]) == verdict


def test_of_two_answers_in_one_the_guard_learns_the_worse():
    harmful = {request.prompt: request.harmful for request in lighthouse.requests()}
    order = {phrase: rank for rank, manner in enumerate(lighthouse.MANNERS) for phrase in lighthouse.ANSWERS[manner]}
    verdicts = {
        True: ["Safety: Unsafe", "Safety: Controversial", "Safety: Safe"],
        False: ["Refusal: No", "Refusal: No", "Refusal: Yes"],
    }
    both = list(lighthouse.guard_lessons(seed=1))[2::3]

    for user, answer, verdict in both:
        ranks = sorted(rank for phrase, rank in order.items() if phrase in answer)
        worse = ranks[0] if harmful[user] else ranks[-1]
        assert verdicts[harmful[user]][worse] in verdict.splitlines()
    assert len({verdict for _, _, verdict in both}) == 4
