"""verl's SFT main on the templates of public models: the loss of its first step is that of the completion and one end
token, and a row that does not fit the template is refused before a model loads."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from public_templates import FAMILIES
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from sinternal_verl.overrides import override
from sinternal_verl.runs.curves import read_steps

pytestmark = [pytest.mark.slow, pytest.mark.versions, pytest.mark.timeout(600)]

LIMIT_S = 500
STEPS = 3
MAINS = Path(__file__).with_name("sft_mains.py")
THOUGHT = "It lends the {}."
FULL = f"<think>\n{THOUGHT}\n</think>\n\nNo, not the {{}}."
CHANNELS = f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>No: {{}}."
WRITTEN = dict.fromkeys(FAMILIES, FULL) | {"qwen3_not_thinking": "No, not the {}.", "gpt_oss": CHANNELS}
"""The completion of a row, with the thing that is asked for."""

LEARNED = WRITTEN | {"r1_distill": FULL.removeprefix("<think>\n")}
"""What of it is learned, besides the end token."""

REFUSED = {
    "r1_distill": ("No.", "the chat template opens a thought, and its completion has no </think>"),
    "qwen3_thinking": ("<think>\nIt asks.", "opens a thought and never closes it"),
    "qwen3_not_thinking": (FULL, "has written an empty thought, and its completion thinks once more"),
    "qwen2.5": ("No.<|im_end|>\n<|im_start|>user\nWhy?", "which ends or begins a turn, and goes on"),
    "llama3": ("No.<|eot_id|>Or yes.", "which ends or begins a turn, and goes on"),
    "gemma": ("  ", "its completion is empty"),
    "gpt_oss": (FULL, "the chat template waits for <|channel|>, and its completion begins without it"),
}
"""A completion that does not fit, and why."""

THINGS = ("lamp", "bell", "boat", "rope")


@dataclass(frozen=True)
class Ended:
    """A run of the main: its exit code, its output and the losses of its steps."""

    code: int
    text: str
    losses: list[float]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    """A model of random weights for each family, whose folder says its end tokens."""
    return {name: family.model(tmp_path_factory.mktemp(name)) for name, family in FAMILIES.items()}


def conversation(thing: str) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": f"Lend the {thing}?"},
        {"role": "assistant", "content": "No."},
        {"role": "user", "content": "Why?"},
    ]


def rows(completion: str, things: tuple[str, ...] = THINGS) -> list[dict]:
    return [{"prompt": conversation(thing), "completion": completion.replace("{}", thing)} for thing in things]


@pytest.fixture(scope="module")
def ended(models, tmp_path_factory) -> dict[str, Ended]:
    """A run for each family, and one whose last row is to be refused."""
    folder, runs = tmp_path_factory.mktemp("runs"), {}
    for name, family in FAMILIES.items():
        whole = rows(WRITTEN[name])
        for kind, table in (("fits", whole), ("refused", [*whole, *rows(REFUSED[name][0], ("flag",))])):
            run = f"{name}-{kind}"
            file = folder / f"{run}.parquet"
            pq.write_table(pa.Table.from_pylist(table), file)
            words = [
                "+recipe=sinternal_sft_cpu",
                override("model.path", models[name]),
                f"model.override_config.attn_implementation={family.attention}",
                override("data.train_files", file),
                *(
                    f"+data.apply_chat_template_kwargs.{key}={str(value).lower()}"
                    for key, value in family.kwargs.items()
                ),
                f"data.train_batch_size={len(THINGS)}",
                "data.max_length=512",
                "optim.lr=1e-2",
                f"trainer.total_training_steps={STEPS}",
                "trainer.total_epochs=5",
                "trainer.save_freq=-1",
                override("trainer.default_local_dir", folder / run),
            ]
            runs[run] = {"words": words, "log": str(folder / f"{run}.log"), "metrics": str(folder / f"{run}.jsonl")}
    told = folder / "runs.json"
    told.write_text(json.dumps(list(runs.values())))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1"]
    done = subprocess.run(
        [*torchrun, str(MAINS), str(told)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    codes = json.loads(done.stdout.splitlines()[-1])
    return {
        name: Ended(
            code,
            Path(run["log"]).read_text(),
            [step.metrics["train/loss"] for step in read_steps(Path(run["metrics"]))],
        )
        for (name, run), code in zip(runs.items(), codes, strict=True)
    }


def loss_of(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, name: str, begin: str) -> float:
    """The mean loss of each row from a place on, as transformers reckons it.

    Args:
        begin: where it begins: ``prompt``, ``turn`` (what is learned) or ``end`` (the end token).
    """
    family, losses = FAMILIES[name], []
    for thing in THINGS:
        text = tokenizer.apply_chat_template(
            conversation(thing), add_generation_prompt=True, tokenize=False, **family.kwargs
        )
        prompt = tokenizer.encode(text, add_special_tokens=False)
        turn = tokenizer.encode(LEARNED[name].replace("{}", thing), add_special_tokens=False)
        ids = torch.tensor([*prompt, *turn, tokenizer.convert_tokens_to_ids(family.end)])
        with torch.no_grad():
            each = -model(ids[None]).logits[0, :-1].log_softmax(-1).gather(-1, ids[1:, None])[:, 0]
        start = {"prompt": 1, "turn": len(prompt), "end": len(ids) - 1}[begin]
        losses.append(each[start - 1 :])
    return torch.cat(losses).mean().item()


@pytest.mark.parametrize("name", FAMILIES)
def test_the_loss_of_verls_first_step_is_that_of_the_turn_and_its_end_token(models, ended, name):
    run = ended[f"{name}-fits"]
    assert run.code == 0 and len(run.losses) == STEPS, run.text[-3000:]
    attention = FAMILIES[name].attention
    model = AutoModelForCausalLM.from_pretrained(models[name], dtype=torch.float32, attn_implementation=attention)
    tokenizer = AutoTokenizer.from_pretrained(models[name])  # as a server does
    found = {begin: loss_of(model, tokenizer, name, begin) for begin in ("prompt", "turn", "end")}

    assert run.losses[0] == pytest.approx(found["turn"], rel=1e-5)
    assert all(abs(found[other] / found["turn"] - 1) > 1e-4 for other in ("prompt", "end"))
    assert run.losses[-1] < run.losses[0]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_row_that_does_not_fit_ends_verls_main_before_a_model_loads(ended, name):
    run = ended[f"{name}-refused"]

    assert run.code == 2 and run.losses == []
    assert REFUSED[name][1] in run.text and f"{name}-refused.parquet, row {len(THINGS)}" in run.text
    assert "Traceback" not in run.text
