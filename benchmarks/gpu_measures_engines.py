"""Measures of `gpu_measure.py`: vLLM as policy and as guard, and GRPO with both. Each function gets a folder of its own
and puts figures into a dict."""

import asyncio
import json
import multiprocessing
import os
import random
import signal
import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch
from gpu_checks import ON_GPU, _served
from gpu_timing import DEVICE, DTYPE, ENGINE, LIMIT_S, WORDS, sized
from guards import constant_lessons, teach_guard
from safety_runs import ROWS
from sized_models import QWEN2_1_5B, QWEN2_7B, QWEN3_4B, write_config, write_weights

from sinternal_verl.guard.engine import EngineSettings, GuardEngine
from sinternal_verl.overrides import override
from sinternal_verl.platform.compat import spawn_engines_on_gpu
from sinternal_verl.runs.launch import grpo_command, run_main
from sinternal_verl.training.metrics_file import METRICS_FILE
from sinternal_verl.world import arithmetic, lighthouse


def rollouts(folder: Path, small: bool, figures: dict) -> None:
    """vLLM with a 7B: prefill, decoding at two batch sizes, and what a seed for each request costs."""
    from vllm import LLM, SamplingParams

    spawn_engines_on_gpu()
    model = write_config(folder / "model", sized(QWEN2_7B, small))
    longest = 512 if small else 4352
    started = time.perf_counter()
    llm = LLM(
        str(model),
        load_format="dummy",
        max_model_len=longest,
        gpu_memory_utilization=0.85 if ON_GPU else 0.1,
        max_num_seqs=256,
        max_num_batched_tokens=8192,
        **ENGINE,
    )
    figures["start_s"] = time.perf_counter() - started
    rng = random.Random(0)

    def seconds(prompts: list[list[int]], tokens: int, seed: int | None = None) -> float:
        params = [
            SamplingParams(
                max_tokens=tokens,
                ignore_eos=True,
                detokenize=False,
                temperature=1.0,
                seed=None if seed is None else seed + number,
            )
            for number in range(len(prompts))
        ]
        began = time.perf_counter()
        llm.generate([{"prompt_token_ids": ids} for ids in prompts], params, use_tqdm=False)
        return time.perf_counter() - began

    new = 16 if small else 128
    for count, context in ((8, 128), (16, 128)) if small else ((64, 3968), (256, 896)):
        prompts = [rng.choices(WORDS, k=context) for _ in range(count)]
        figures[f"prefill_of_{context}_tokens_per_s"] = count * context / seconds(prompts, 1)
        # The prompts are in the prefix cache now; what this takes beside decoding is taken off.
        again = seconds(prompts, 1)
        figures[f"decode_{count}_at_{context}_tokens_per_s"] = count * (new - 1) / (seconds(prompts, new) - again)
    short = [rng.choices(WORDS, k=16) for _ in range(16 if small else 256)]
    seconds(short, new)
    taken = {seed: statistics.median(seconds(short, new, seed) for _ in range(2)) for seed in (None, 1)}
    figures["decode_256_at_16_tokens_per_s"] = len(short) * new / taken[None]
    figures["seeds_over_none"] = taken[1] / taken[None]


def guard(folder: Path, small: bool, figures: dict) -> None:
    """A guard of Qwen3Guard-4B's size as a replica: its start, its verdicts, and its return when its engine is killed;
    then its engine, at what each mode asks of it."""
    started = time.perf_counter()
    model = write_config(folder / "model", sized(QWEN3_4B, small), guard=True, dtype=str(DTYPE).removeprefix("torch."))
    write_weights(model, DEVICE, says=" Safe")
    if ON_GPU:
        torch.cuda.empty_cache()
    figures["weights_written_s"] = time.perf_counter() - started
    longest = 2048 if small else 32_768
    share = 0.7 if ON_GPU else 0.1
    settings = EngineSettings(str(model), max_model_len=longest, gpu_memory_utilization=share, **ENGINE)
    _replica(settings, figures)
    asyncio.run(_engine(replace(settings, max_num_batched_tokens=8192), small, figures))


def _replica(engine: EngineSettings, figures: dict) -> None:
    import ray

    from sinternal_verl.guard.client import ReplicaClient
    from sinternal_verl.guard.replica import GuardSettings, end_guard, start_guard

    ray.init(address="local", num_cpus=8, include_dashboard=False, log_to_driver=False)
    try:
        started = time.perf_counter()
        # It says Safe to everything, also where it is asked for a refusal, which is no verdict.
        settings = GuardSettings(engine, num_gpus=int(ON_GPU), start_timeout_s=LIMIT_S / 2, require_verdict=False)
        replicas = start_guard(settings)
        figures["replica_start_s"] = time.perf_counter() - started
        if ON_GPU:
            free, whole = torch.cuda.mem_get_info()
            figures["replica_memory_gb"] = (whole - free) / 1e9
        figures["replica_verdicts_per_s"] = ray.get(replicas[0].verdicts_per_second.remote())
        children = lambda _: [child.pid for child in multiprocessing.active_children()]  # noqa: E731
        (pid,) = ray.get(replicas[0].__ray_call__.remote(children))
        os.kill(pid, signal.SIGKILL)
        started = time.perf_counter()
        client = ReplicaClient.look_up(1, LIMIT_S / 2)
        judgement = asyncio.run(client.judge("May I?", "You may.", False))
        assert judgement.verdict, judgement.reason
        figures["replica_back_after_s"] = time.perf_counter() - started
        end_guard(replicas)
    finally:
        ray.shutdown()


async def _engine(settings: EngineSettings, small: bool, figures: dict) -> None:
    from transformers import AutoTokenizer

    from sinternal_verl.guard.judge import DECODE_TOKENS, Judge
    from sinternal_verl.guard.template import GuardTemplate
    from sinternal_verl.guard.throughput import measure

    started = time.perf_counter()
    engine = GuardEngine(settings)
    await engine([5] * 8, 1)
    figures["engine_start_s"] = time.perf_counter() - started
    tokenizer = AutoTokenizer.from_pretrained(settings.model)
    judge = Judge(GuardTemplate(tokenizer, settings.max_model_len - DECODE_TOKENS), tokenizer, engine)
    figures["engine_8192_verdicts_per_s"] = await measure(judge.judge, 2 * settings.max_num_seqs)
    rng = random.Random(0)
    policy = rng.choices(WORDS, k=300)

    async def ask(ids: list[int], mode: str) -> None:
        if mode == "decode":
            await engine(ids, 20)
            return
        await engine(ids + [301] * 3, 1, (310, 311, 312))
        if mode == "first_token_and_refusal":
            await engine(ids + [302] * 9, 1, ())

    for answer, count in ((50, 16), (200, 16)) if small else ((50, 512), (200, 512), (1000, 256), (4000, 64)):
        for mode in ("first_token", "first_token_and_refusal", "decode"):
            batch = [policy + rng.choices(WORDS, k=40 + answer) for _ in range(count)]
            began = time.perf_counter()
            await asyncio.gather(*(ask(ids, mode) for ids in batch))
            figures[f"{mode}_of_{answer}_per_s"] = count / (time.perf_counter() - began)
        figures[f"prefill_of_{answer}_tokens_per_s"] = (40 + answer) * figures[f"first_token_of_{answer}_per_s"]
    for mode in ("first_token", "decode"):
        taken = []
        for _ in range(10):
            began = time.perf_counter()
            await ask(policy + rng.choices(WORDS, k=240), mode)
            taken.append(time.perf_counter() - began)
        figures[f"{mode}_alone_ms"] = 1000 * statistics.median(taken)
    engine.shutdown()


def guard_eager(folder: Path, small: bool, figures: dict) -> None:
    """The same engine without CUDA graphs, its weights not read but made."""
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Unread(EngineSettings):
        load_format: str = "dummy"

    model = write_config(folder / "model", sized(QWEN3_4B, small), guard=True, dtype=str(DTYPE).removeprefix("torch."))
    settings = Unread(
        str(model),
        max_model_len=2048 if small else 32_768,
        gpu_memory_utilization=0.7 if ON_GPU else 0.1,
        **ENGINE | {"enforce_eager": True},
    )
    asyncio.run(_engine(settings, small, figures))


def grpo(folder: Path, small: bool, figures: dict) -> None:
    """Three steps of GRPO of a 1.5B by verl's main with ``hardware=1gpu_7b``, judged by `guard serve` beside it."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    judge = folder.parent / "taught_guard"
    if not judge.is_dir():
        teach_guard(judge, constant_lessons())
    policy = write_config(folder / "policy", sized(QWEN2_1_5B, small), longest=4096)
    write_weights(policy, DEVICE)
    if ON_GPU:
        torch.cuda.empty_cache()
    world = arithmetic.write_datasets(folder / "data", seed=1)
    requests = pq.read_table(lighthouse.write_datasets(folder / "requests", seed=1)["held_out"])
    both = pa.concat_tables([pq.read_table(world["train"]), requests])
    chosen = [both.filter(pc.equal(both["data_source"], source)).slice(0, 4 * rows) for source, rows in ROWS.items()]
    pq.write_table(pa.concat_tables(chosen), folder / "mix.parquet")
    prompts, response = (8, 16) if small else (16, 1024)
    words = [
        "+recipe=sinternal_grpo",
        f"hardware={'1gpu_7b' if ON_GPU else 'cpu'}",
        override("sinternal.guard.engine.model", judge),
        "sinternal.guard.engine.max_model_len=2048",
        # It never ends its thought, and the guard is to judge something.
        "sinternal.scorers.safety.judged=both",
        override("actor_rollout_ref.model.path", policy),
        override("data.train_files", folder / "mix.parquet"),
        override("data.val_files", folder / "mix.parquet"),
        f"data.train_batch_size={prompts}",
        "data.max_prompt_length=256",
        f"data.max_response_length={response}",
        f"actor_rollout_ref.rollout.max_model_len={256 + response}",
        "trainer.val_before_train=false",
        "trainer.test_freq=-1",
        "trainer.save_freq=-1",
        "trainer.total_training_steps=3",
        "trainer.total_epochs=10",
        override("trainer.default_local_dir", folder / "checkpoints"),
        "guard=openai_endpoint",
    ]
    words += ["actor_rollout_ref.rollout.gpu_memory_utilization=0.5"] if ON_GPU else ["actor_rollout_ref.rollout.n=4"]
    started = time.perf_counter()
    with _served(judge, folder / "serve.log") as url:
        figures["guard_serve_start_s"] = time.perf_counter() - started
        started = time.perf_counter()
        command = grpo_command(*words, f"sinternal.guard.url={url}")
        steps = run_main(command, folder / "log", folder / "checkpoints" / METRICS_FILE, LIMIT_S, name="grpo")
        whole = time.perf_counter() - started
    (folder / "steps.json").write_text(json.dumps([step.metrics for step in steps], indent=1))
    assert [step.number for step in steps] == [1, 2, 3], steps
    last = steps[-1].metrics
    figures["start_and_end_s"] = whole - sum(step.metrics["timing_s/step"] for step in steps)
    for name, value in last.items():
        if name.startswith(("timing_s/", "perf/")) and isinstance(value, int | float):
            figures[name.replace("/", "_")] = value
    figures["rows_scored"] = sum(v for n, v in last.items() if n.startswith("train/") and n.endswith("/scored"))
    figures["response_tokens"] = last.get("response_length/mean", 0.0)
