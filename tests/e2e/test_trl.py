"""TRL's own GRPO trainer with our reward function, two steps on a CPU: a policy that thinks and whose replies TRL's
parser splits, one that calls a tool before it answers, and one that does not think and gets plain strings as prompts.
Each has two instances of the reward."""

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
CALLS = '<think>\nI ask.\n</think>\n\n<tool_call>\n{"name": "add", "arguments": {"a": 40, "b": 45}}\n</tool_call>'
ANSWERED = (
    "<|im_end|>\n<|im_start|>user\n<tool_response>\n\\boxed{85}\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
)
"""What TRL's chat template puts between a call and the reply to its result."""

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


def add(a: int, b: int) -> str:
    """Add two numbers.

    Args:
        a: The first number.
        b: The second number.
    """
    return f"\\boxed{{{a + b}}}"


def run(folder: Path, tokenizer, rewards: list[TRLReward], lessons_of, longest: int = 512, **others) -> Run:
    """Teach a policy ``lessons_of`` each row, and train it.

    Args:
        lessons_of: a row -> its prompt for the trainer, and pairs of a text that the policy sees and one that it says.
        longest: the policy's context in tokens.
        others: of the trainer.
    """
    from datasets import Dataset

    policy = write_model(
        folder / "policy", tokenizer, seed=1, hidden=128, layers=2, wider=4, groups=2, longest=longest, theta=40.0
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

    def ids_of(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False)

    taught = [lessons_of(row) for row in rows]
    lessons = [(ids_of(seen), [*ids_of(said), tokenizer.eos_token_id]) for _, pairs in taught for seen, said in pairs]
    teach(policy, lessons, steps=160, batch=4, rate=3e-3, seed=0)
    settings = trl.GRPOConfig(
        output_dir=str(folder / "out"),
        max_steps=STEPS,
        logging_steps=1,
        num_generations=GENERATIONS,
        per_device_train_batch_size=PROMPTS * GENERATIONS,
        max_completion_length=160,
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
        train_dataset=Dataset.from_list(
            [row | {"prompt": prompt} for row, (prompt, _) in zip(rows, taught, strict=True)]
        ),
        **others,
    )
    trainer.train()
    tables = sorted((folder / "out" / "completions").glob("*.parquet"))
    return Run(
        [entry for entry in trainer.state.log_history if "reward" in entry],
        [row for table in tables for row in pq.read_table(table).to_pylist()],
        *(reward.__name__ for reward in rewards),
    )


@pytest.fixture(scope="module", params=["thinks", "calls a tool", "does not think"])
def trained(request, tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("trl")
    if request.param == "does not think":
        tokenizer = make_tokenizer(arithmetic.corpus())
        none = TRLReward({"boxed_math": {"sources": ["*"], "thought": "none"}})
        required = TRLReward({"boxed_math": {"sources": ["*"]}}, tokenizer=tokenizer)

        def plain(row):
            text = row["prompt"][0]["content"]
            return text, [(text, SAYS.format(answer)) for answer in SOURCES]

        return run(folder, tokenizer, [none, required], plain)
    tokenizer, tools = qwen3_tokenizer(), [add] if request.param == "calls a tool" else None
    # The second one reads the reply as TRL has parsed it.
    rewards = [TRLReward({"boxed_math": {"sources": ["*"]}}, tokenizer=given) for given in (tokenizer, None)]

    def conversation(row):
        seen = tokenizer.apply_chat_template(row["prompt"], tools=tools, add_generation_prompt=True, tokenize=False)
        if not tools:
            return row["prompt"], [(seen, THINKS.format(answer)) for answer in SOURCES]
        return row["prompt"], [
            (seen, CALLS),
            *((seen + CALLS + ANSWERED, SAYS.format(answer)) for answer in SOURCES),
        ]

    return run(folder, tokenizer, rewards, conversation, longest=1024, tools=tools)


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
