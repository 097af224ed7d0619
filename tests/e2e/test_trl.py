"""TRL's own GRPO trainer with our reward function, two steps on a CPU: a policy that thinks and whose replies TRL's
parser splits, and one that does not think and gets plain strings as prompts. Each has two instances of the reward."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from teaching import teach

from sinternal_verl.data.schema import rl_row
from sinternal_verl.scoring.trl import TRLReward
from sinternal_verl.world import arithmetic
from sinternal_verl.world.policy_model import make_tokenizer, write_model

trl = pytest.importorskip("trl", reason="TRL is not installed; tests/e2e/test_trl_environment.py runs this where it is")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SOURCES = {"85": "sums/85", "86": "sums/86"}
"""The two answers that the policy gives to everything, each half of the time, and the sources of their sums."""

STEPS, PROMPTS, GENERATIONS = 2, 4, 4
THINKS, SAYS = "<think>\nThe sum is known.\n</think>\n\n\\boxed{{{}}}", "\\boxed{{{}}}"


@dataclass(frozen=True)
class Run:
    """What a training left behind: what it logged in each step, the rows of its completion tables, and the names of its
    two rewards, of which the first fits the policy."""

    logged: list[dict[str, float]]
    table: list[dict]
    fits: str
    other: str


def qwen3_tokenizer():
    """A tokenizer with Qwen3's chat template, for which TRL has a parser."""
    tokenizer = make_tokenizer(arithmetic.corpus())
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"]})
    template = Path(trl.__file__).with_name("chat_templates") / "qwen3.jinja"
    tokenizer.chat_template = template.read_text()
    return trl.add_response_schema(tokenizer)


def run(folder: Path, tokenizer, reply: str, conversational: bool, rewards: list[TRLReward]) -> Run:
    from datasets import Dataset

    policy = write_model(
        folder / "policy", tokenizer, seed=1, hidden=128, layers=2, wider=4, groups=2, longest=512, theta=40.0
    )
    problems = [p for p in arithmetic.all_problems() if p.answer in SOURCES][: 4 * PROMPTS]
    rows = [
        rl_row(
            data_source=SOURCES[p.answer],
            content=p.prompt,
            ground_truth=p.answer,
            index=str(number),
            split="train",
        )
        for number, p in enumerate(problems)
    ]

    def tokens_of(row) -> list[int]:
        if conversational:
            return tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False)
        return tokenizer.encode(row["prompt"][0]["content"])

    said = [
        [*tokenizer.encode(reply.format(answer), add_special_tokens=False), tokenizer.eos_token_id]
        for answer in SOURCES
    ]
    lessons = [(tokens_of(row), reply) for row in rows for reply in said]
    teach(policy, lessons, steps=200, batch=8, rate=3e-3, seed=0)
    if not conversational:
        rows = [row | {"prompt": row["prompt"][0]["content"]} for row in rows]
    settings = trl.GRPOConfig(
        output_dir=str(folder / "out"),
        max_steps=STEPS,
        logging_steps=1,
        num_generations=GENERATIONS,
        per_device_train_batch_size=PROMPTS * GENERATIONS,
        max_completion_length=48,
        log_completions=True,
        report_to=[],
        use_cpu=True,
        bf16=False,
        seed=1,
    )
    trainer = trl.GRPOTrainer(
        model=str(policy),
        processing_class=tokenizer,
        reward_funcs=rewards,
        args=settings,
        train_dataset=Dataset.from_list(rows),
    )
    trainer.train()
    tables = sorted((folder / "out" / "completions").glob("*.parquet"))
    return Run(
        [entry for entry in trainer.state.log_history if "reward" in entry],
        [row for table in tables for row in pq.read_table(table).to_pylist()],
        *(reward.__name__ for reward in rewards),
    )


@pytest.fixture(scope="module", params=["thinks", "does not think"])
def trained(request, tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("trl")
    thinks = request.param == "thinks"
    tokenizer = qwen3_tokenizer() if thinks else make_tokenizer(arithmetic.corpus())
    required = TRLReward({"boxed_math": {"sources": ["*"]}}, tokenizer=tokenizer)
    none = TRLReward({"boxed_math": {"sources": ["*"], "thought": "none"}})
    if thinks:
        # Our reward is what differs: the second sees the reply as TRL has parsed it, less its thought.
        return run(folder, tokenizer, THINKS, True, [required, TRLReward({"boxed_math": {"sources": ["sums/*"]}})])
    return run(folder, tokenizer, SAYS, False, [none, required])


def test_each_step_is_trained_and_each_instance_has_a_curve(trained):
    assert len(trained.logged) == STEPS
    assert trained.fits != trained.other
    for step in trained.logged:
        assert {f"rewards/{name}/mean" for name in (trained.fits, trained.other)} <= step.keys()


def test_the_rewards_are_those_of_the_replies(trained):
    for step in trained.logged:
        rows = [row for row in trained.table if row["step"] == step["step"]]
        assert len(rows) == PROMPTS * GENERATIONS
        right = [row[f"{trained.fits}/outcome"] == "correct" for row in rows]
        assert 0 < sum(right) < len(rows)
        assert step[f"rewards/{trained.fits}/mean"] == pytest.approx(sum(right) / len(rows))


def test_the_rewards_reach_the_gradient(trained):
    assert all(step["grad_norm"] > 0 for step in trained.logged)


@pytest.mark.parametrize("source", SOURCES.values())
def test_the_shares_of_the_outcomes_of_each_source_are_logged(trained, source):
    prefix = f"{trained.fits}/{source}"
    steps = [step for step in trained.logged if f"{prefix}/scored" in step]

    assert steps
    for step in steps:
        shares = {name: value for name, value in step.items() if name.startswith(f"{prefix}/outcome/")}
        assert step[f"{prefix}/scored"] == 1.0 and sum(shares.values()) == pytest.approx(1.0)
        assert f"{prefix}/outcome/correct" in shares


def test_the_table_of_completions_holds_each_rows_outcome(trained):
    outcomes = {row[f"{trained.fits}/outcome"] for row in trained.table}

    assert len(trained.table) == STEPS * PROMPTS * GENERATIONS
    assert {"correct", "mismatch"} <= outcomes
    assert all(f"{trained.other}/reason" in row for row in trained.table)
