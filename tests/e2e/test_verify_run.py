"""Stage 1 and the step to stage 2 on a CPU: a policy's own answers by vLLM, a scripted expert over HTTP, LoRA
SFT by verl's main on two processes, export, and GRPO from what was exported. The policy is a Qwen3."""

import asyncio
import json
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
import torch
from experts import Script, playing, warden
from safetensors.torch import load_file
from teaching import teach
from transformers import AutoModelForCausalLM, AutoTokenizer

from sinternal_verl.overrides import override
from sinternal_verl.runs.launch import grpo_command, run_main, sft_command
from sinternal_verl.tokens import TextEncoder
from sinternal_verl.training.metrics_file import METRICS_FILE
from sinternal_verl.verify import probe
from sinternal_verl.verify.local_writer import LocalWriter
from sinternal_verl.verify.writer import WriterSettings
from sinternal_verl.world import lighthouse
from sinternal_verl.world.policy_model import make_policy

pytestmark = [pytest.mark.slow, pytest.mark.versions, pytest.mark.timeout(900)]

LIMIT_S = 600
SPECIFICATION = """
title: Rules of Orla
version: "1"
categories:
  - name: Keeping
    rules: [Lamp, bell and vault are forbidden.]
"""
PROMPT = "{specification}\n<request>\n{request}\n</request>\n<answer>\n{answer}\n</answer>\nIs it safe?"
ENGINE = {"max_model_len": 512, "gpu_memory_utilization": 0.1, "dtype": "float32", "enforce_eager": True}


def sinternal_verl(*arguments: str) -> str:
    """Run the command line as a user does; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "sinternal_verl.cli", *arguments], capture_output=True, text=True, timeout=LIMIT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    """A policy that answers requests of the lighthouse, not always by its rules."""
    folder = tmp_path_factory.mktemp("policy")
    make_policy(folder, [*lighthouse.corpus(), SPECIFICATION, PROMPT], seed=1, architecture="qwen3")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoder = TextEncoder(tokenizer)
    lessons = pq.read_table(lighthouse.write_datasets(folder / "data", seed=1)["sft"]).to_pylist()
    rows = [
        (
            encoder.encode_prompt(row["prompt"]),
            [*tokenizer.encode(row["completion"], add_special_tokens=False), tokenizer.eos_token_id],
        )
        for row in lessons
    ]
    return teach(folder, rows, steps=300, batch=32, rate=3e-3, seed=1)


@pytest.fixture(scope="module")
def built(policy, tmp_path_factory) -> Path:
    """The folder of a build."""
    folder = tmp_path_factory.mktemp("build")
    (folder / "orla.yaml").write_text(SPECIFICATION)
    (folder / "prompt.txt").write_text(PROMPT)
    with playing(Script(warden)) as expert:
        printed = sinternal_verl(
            *("verify", "build", f"prompts={policy / 'data' / 'held_out.parquet'}", f"out={folder / 'out'}"),
            *(f"specification={folder / 'orla.yaml'}", f"prompt={folder / 'prompt.txt'}"),
            *(f"policy.model={policy}", "policy.request.max_tokens=60", "policy.request.temperature=1"),
            *(f"policy.engine.{key}={value}" for key, value in ENGINE.items()),
            # Prompts that come together do not all fit into one step.
            *("policy.concurrency=128", "policy.engine.max_num_batched_tokens=512"),
            *("expert.model=warden", f"expert.url={expert.url}"),
        )
    assert "answers/whole" in printed
    return folder / "out"


@pytest.fixture(scope="module")
def taught(policy, built, tmp_path_factory) -> Path:
    """The checkpoints of LoRA SFT on two processes."""
    folder = tmp_path_factory.mktemp("sft")
    command = sft_command(
        "+recipe=sinternal_sft_cpu",
        f"model.path={policy}",
        f"data.train_files={built / 'train.parquet'}",
        "data.train_batch_size=8",
        "data.max_length=512",
        "optim.lr=3e-3",
        "trainer.total_training_steps=8",
        "trainer.total_epochs=10",
        "trainer.save_freq=8",
        f"trainer.default_local_dir={folder / 'checkpoints'}",
        processes=2,
    )
    steps = run_main(command, folder / "log", folder / "metrics.jsonl", LIMIT_S)
    assert steps[-1].metrics["train/loss"] < steps[0].metrics["train/loss"]
    return folder / "checkpoints"


@pytest.fixture(scope="module")
def exported(taught, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "model"
    sinternal_verl("export", "--checkpoint", str(taught), "--out", str(folder))
    return folder


def test_the_build_has_pairs_of_the_policys_own_answers(built):
    rows = pq.read_table(built / "train.parquet").to_pylist()

    assert {row["verdict"] for row in rows if row["harm"] == "harmful"} == {"safe", "unsafe"}
    for row in rows:
        assert lighthouse.manner_of(row["answer"]) and row["thought"].startswith("Asked to")


def test_the_export_has_the_adapter_in_it_and_keeps_the_dtype(policy, taught, exported):
    before, after = (load_file(folder / "model.safetensors") for folder in (policy, exported))
    assert before.keys() == after.keys()
    changed = {name for name, weight in before.items() if not torch.equal(weight, after[name])}
    assert changed and all("proj" in name for name in changed)
    assert {weight.dtype for weight in after.values()} == {torch.float32}
    assert json.loads((exported / "config.json").read_text())["dtype"] == "float32"
    assert "global_step_8" in (exported / "README.md").read_text()


@pytest.mark.long
def test_transformers_and_vllm_give_the_same_greedy_tokens(exported):
    tokenizer, model = AutoTokenizer.from_pretrained(exported), AutoModelForCausalLM.from_pretrained(exported)
    settings = WriterSettings(
        model=str(exported),
        url=None,
        api_key_env="NO_SUCH_KEY",
        request={"temperature": 0, "max_tokens": 40},
        concurrency=8,
        timeout_s=120,
        retries=0,
        max_requests=None,
        budget_tokens=None,
        engine=ENGINE,
    )
    asked = [[{"role": "user", "content": request.prompt}] for request in lighthouse.requests()[::24]]

    async def by_vllm() -> list[str]:
        writer = LocalWriter(settings)
        try:
            return [reply.text for reply in await asyncio.gather(*(writer.write(m, seed=1) for m in asked))]
        finally:
            await writer.close()

    def by_transformers(messages) -> str:
        ids = TextEncoder(tokenizer).encode_prompt(messages)
        out = model.generate(torch.tensor([ids]), max_new_tokens=40, do_sample=False)[0, len(ids) :]
        return tokenizer.decode(out).removesuffix(tokenizer.eos_token)

    assert asyncio.run(by_vllm()) == [by_transformers(messages) for messages in asked]


@pytest.mark.long
def test_packed_grpo_starts_from_the_export_with_verification_as_its_reward(exported, built, tmp_path):
    command = grpo_command(
        "+recipe=sinternal_grpo_cpu",
        f"actor_rollout_ref.model.path={exported}",
        # As a GPU run does without flash-attn; on a CPU the recipes pad.
        "actor_rollout_ref.model.use_remove_padding=true",
        "actor_rollout_ref.model.use_fused_kernels=true",
        f"data.train_files={built / 'train.parquet'}",
        f"data.val_files={built / 'train.parquet'}",
        "data.custom_cls.path=pkg://sinternal_verl.data.dataset",
        "data.custom_cls.name=VerificationRLDataset",
        f"data.verification.specification={built.parent / 'orla.yaml'}",
        f"data.verification.prompt={built.parent / 'prompt.txt'}",
        "data.train_batch_size=8",
        "actor_rollout_ref.rollout.n=4",
        "data.max_prompt_length=256",
        "data.max_response_length=60",
        "trainer.val_before_train=false",
        "trainer.test_freq=-1",
        "trainer.save_freq=-1",
        "trainer.total_training_steps=2",
        f"trainer.default_local_dir={tmp_path / 'checkpoints'}",
    )
    steps = run_main(command, tmp_path / "log", tmp_path / "checkpoints" / METRICS_FILE, LIMIT_S)

    assert len(steps) == 2
    for step in steps:
        of = {name: value for name, value in step.metrics.items() if name.startswith("train/verification/")}
        assert sum(value for name, value in of.items() if name.endswith("/rows")) == 32
        assert all(value == 1 for name, value in of.items() if name.endswith("/scored"))


def test_the_engine_is_gone_when_the_expert_is_asked(tmp_path):
    """So that a GPU is free meanwhile, and a second job may have it."""
    make_policy(tmp_path / "policy", lighthouse.corpus(), seed=1, architecture="qwen3")
    prompts = lighthouse.write_datasets(tmp_path / "data", seed=1, held_out=8)["held_out"]
    seen: dict[str, list[int]] = {"sampling": [], "critiques": []}
    sampled = threading.Event()

    def footprint() -> list[int]:
        """Bytes of the processes that the command has started; its engine is one of them."""
        below = [process for command in psutil.Process().children() for process in command.children(recursive=True)]
        return [process.memory_info().rss for process in below]

    def watch() -> None:
        while not sampled.wait(0.2):
            with suppress(psutil.NoSuchProcess):
                seen["sampling"].append(sum(footprint()))

    def expert(body):
        if probe.REQUEST in body["messages"][-1]["content"]:  # asked before the engine is started
            return warden(body)
        sampled.set()
        seen["critiques"].append(sum(footprint()))
        return warden(body)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with playing(Script(expert)) as server:
            sinternal_verl(
                *("verify", "build", override("prompts", prompts), override("out", tmp_path / "out")),
                *(override("policy.model", tmp_path / "policy"), "policy.thought=none", "samples=2"),
                *("policy.request.max_tokens=20", *(f"policy.engine.{key}={value}" for key, value in ENGINE.items())),
                *("expert.model=warden", f"expert.url={server.url}"),
            )
    finally:
        sampled.set()
        watcher.join()
    print("peak while sampling", max(seen["sampling"]), "while the expert works", max(seen["critiques"]))
    assert max(seen["sampling"]) > 200 << 20
    assert max(seen["critiques"]) < 50 << 20
