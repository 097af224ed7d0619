"""`sinternal-verl demo`: a policy made, taught and reinforced on this machine's CPU, from nothing.

1. Make a policy of one million random weights, and additions for it to solve.
2. Teach it the skill, imperfectly, with verl's SFT main.
3. Reinforce it with verl's GRPO main from the boxed answer alone: real Ray, FSDP2, TransferQueue,
   vLLM rollouts and weight sync.
4. Show held-out accuracy before and after, the learning curve, and the exported model.
"""

import json
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from sinternal_verl.curves import Step, draw_learning_curve, series
from sinternal_verl.launch import MainFailed, grpo_command, run_main, sft_command
from sinternal_verl.training.metrics_file import METRICS_FILE
from sinternal_verl.world import arithmetic

SFT_STEPS = 550
GRPO_STEPS = 22
LIMIT_S = 900
"""Each of the two mains is ended after this many seconds."""

MARKER = ".sinternal_demo"
"""A file in every folder a demo wrote, so that it never removes another."""

HELD_OUT = f"val/{arithmetic.DATA_SOURCE}/reward/mean"
REWARD = f"train/{arithmetic.DATA_SOURCE}/reward/mean"


@dataclass(frozen=True)
class Result:
    """Held-out accuracy in 0..1; seconds from the first command to the table."""

    seed: int
    sampled_before: float
    sampled_after: float
    greedy_before: float
    greedy_after: float
    seconds: float


def run_demo(out: str, seed: int) -> int:
    """Run everything under ``out``; return the exit code."""
    folder = Path(out).absolute()
    try:
        result = train(folder, seed)
    except (MainFailed, FileExistsError) as error:
        print(f"\nsinternal_verl: {error}", file=sys.stderr)
        return 1
    (folder / "result.json").write_text(json.dumps(asdict(result), indent=2) + "\n")
    print(_table(result, folder))
    return 0


def train(folder: Path, seed: int) -> Result:
    """SFT, then GRPO; leaves ``learning_curve.png``, ``grpo/metrics.jsonl`` and ``export/`` in ``folder``.

    Raises:
        FileExistsError: ``folder`` holds something that no demo wrote.
        MainFailed: one of verl's mains failed.
    """
    from transformers.utils import logging

    from sinternal_verl.world.model import make_policy

    logging.disable_progress_bar()
    started = time.monotonic()
    _clear(folder)
    policy = make_policy(folder / "policy", arithmetic.corpus(), seed)
    data = arithmetic.write_datasets(folder / "data", seed)

    print(f"1. SFT: the skill, with the carry often forgotten (log: {folder / 'sft.log'})", flush=True)
    run_main(
        sft_command(*sft_overrides(folder, policy, data["sft"], seed, SFT_STEPS)),
        log=folder / "sft.log",
        metrics=folder / "sft_metrics.jsonl",
        limit_s=LIMIT_S,
        describe=lambda step: f"loss {step.metrics['train/loss']:.3f}",
        total_steps=SFT_STEPS,
        name="SFT",
    )
    taught = folder / "sft" / f"global_step_{SFT_STEPS}" / "huggingface"

    print(f"2. GRPO: reward 1 for the right box, else 0 (log: {folder / 'grpo.log'})", flush=True)
    steps = run_main(
        grpo_command(*grpo_overrides(folder, taught, data["train"], data["held_out"], seed, GRPO_STEPS)),
        log=folder / "grpo.log",
        metrics=folder / "grpo" / METRICS_FILE,
        limit_s=LIMIT_S,
        describe=_describe,
        total_steps=GRPO_STEPS,
        name="GRPO",
    )
    export = folder / "export"
    shutil.copytree(folder / "grpo" / f"global_step_{GRPO_STEPS}" / "actor" / "huggingface", export)
    title = f"{arithmetic.DATA_SOURCE}, seed {seed}"
    draw_learning_curve(steps, REWARD, HELD_OUT, folder / "learning_curve.png", title)

    _, sampled = series(steps, HELD_OUT)
    return Result(
        seed=seed,
        sampled_before=sampled[0],
        sampled_after=sampled[-1],
        greedy_before=greedy_accuracy(taught, data["held_out"]),
        greedy_after=greedy_accuracy(export, data["held_out"]),
        seconds=round(time.monotonic() - started, 1),
    )


def _clear(folder: Path) -> None:
    """Remove an earlier demo, and only that: verl would resume its checkpoints."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARKER).is_file():
            raise FileExistsError(f"{folder} is not empty and no demo wrote it: give another folder with --out")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()


def sft_overrides(folder: Path, model: Path, data: Path, seed: int, steps: int) -> list[str]:
    """Full training of a small random model: the recipe's LoRA and rate are for a large trained one."""
    return [
        "+recipe=sinternal_sft_cpu",
        f"model.path={model}",
        "model.lora_rank=0",
        f"data.train_files={data}",
        "data.train_batch_size=32",
        "data.max_length=128",
        "optim.lr=3e-3",
        "optim.betas=[0.9,0.95]",
        f"trainer.seed={seed}",
        "trainer.total_epochs=100",
        f"trainer.total_training_steps={steps}",
        f"trainer.save_freq={steps}",
        f"trainer.default_local_dir={folder / 'sft'}",
        "checkpoint.save_contents=[model,optimizer,extra,hf_model]",
    ]


def grpo_overrides(folder: Path, model: Path, train: Path, held_out: Path, seed: int, steps: int) -> list[str]:
    """The recipe's GRPO at the demo's size: 16 prompts x 8, 48 tokens, a rate for a million weights."""
    return [
        "+recipe=sinternal_grpo_cpu",
        f"actor_rollout_ref.model.path={model}",
        f"data.train_files={train}",
        f"data.val_files={held_out}",
        f"data.seed={seed}",
        "data.train_batch_size=16",
        "data.max_prompt_length=32",
        "data.max_response_length=48",
        "actor_rollout_ref.actor.optim.lr=1e-4",
        "actor_rollout_ref.actor.ppo_mini_batch_size=8",
        "actor_rollout_ref.actor.checkpoint.save_contents=[model,optimizer,extra,hf_model]",
        f"trainer.total_training_steps={steps}",
        f"trainer.save_freq={steps}",
        f"trainer.test_freq={steps}",
        f"trainer.default_local_dir={folder / 'grpo'}",
    ]


def greedy_accuracy(model: Path, held_out: Path) -> float:
    """Share of held-out problems whose greedy answer is right, by transformers and not by verl."""
    import pyarrow.parquet as pq
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from sinternal_verl.reward_fns.boxed_math import compute_score

    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    policy = AutoModelForCausalLM.from_pretrained(model)
    rows = pq.read_table(held_out).to_pylist()
    prompts = [tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, tokenize=False) for row in rows]
    inputs = tokenizer(
        prompts, return_tensors="pt", padding=True, add_special_tokens=False, return_token_type_ids=False
    )
    outputs = policy.generate(**inputs, max_new_tokens=48, do_sample=False)
    responses = tokenizer.batch_decode(outputs[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    truths = [row["reward_model"]["ground_truth"] for row in rows]
    scores = [compute_score("", r, truth)["score"] for r, truth in zip(responses, truths, strict=True)]
    return sum(scores) / len(scores)


def _describe(step: Step) -> str:
    held_out = f"  held-out {step.metrics[HELD_OUT]:.2f}" if HELD_OUT in step.metrics else ""
    return f"reward {step.metrics[REWARD]:.2f}{held_out}" if REWARD in step.metrics else held_out.strip()


def _table(result: Result, folder: Path) -> str:
    return f"""
held-out accuracy     before   after
  sampled, T=1, n=4   {result.sampled_before:6.2f}  {result.sampled_after:6.2f}
  greedy              {result.greedy_before:6.2f}  {result.greedy_after:6.2f}

learning curve   {folder / "learning_curve.png"}
metrics          {folder / "grpo" / METRICS_FILE}
model            {folder / "export"}  (AutoModelForCausalLM.from_pretrained loads it)
took             {result.seconds / 60:.1f} minutes"""
