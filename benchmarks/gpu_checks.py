"""The checks of `gpu_check.py`, one function each: it gets a folder of its own and returns figures, or raises."""

import asyncio
import importlib.metadata as metadata
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from addition_runs import addition_overrides
from guards import constant_lessons, teach_guard
from safety_runs import safety_overrides

from sinternal_verl.commands.export import export
from sinternal_verl.overrides import override
from sinternal_verl.platform.compat import spawn_engines_on_gpu
from sinternal_verl.runs.launch import end_session, grpo_command, run_main, sft_command, tail
from sinternal_verl.training.metrics_file import METRICS_FILE
from sinternal_verl.world import arithmetic, lighthouse
from sinternal_verl.world.policy_model import make_policy

ROOT = Path(__file__).parents[1]
ON_GPU = torch.cuda.is_available()

LIMIT_S = 600
"""Of one check."""

JUDGED = 400
"""Conversations of the small place that both modes of the guard judge."""

Figures = dict[str, float | str]


class NotShown(Exception):
    """This machine cannot show it; the message says what it would take."""


def contract(folder: Path) -> Figures:
    """Every symbol of verl, vLLM and Ray that the package leans on."""
    chosen = [str(ROOT / "tests/platform/test_contract.py")] + ([] if not ON_GPU else ["-k", "symbol or source"])
    return _tests(chosen)


def packed_rows(folder: Path) -> Figures:
    """Rows packed with sdpa have the log-probabilities of padded rows, in verl's own engine."""
    return _tests([str(ROOT / "tests/training/test_packed_rows.py")])


def guard_qwen2(folder: Path) -> Figures:
    """A replica's first_token verdicts are those of decoding, and it comes back when its engine is killed."""
    return _guard(folder, "qwen2")


def guard_qwen3(folder: Path) -> Figures:
    """The same of the real guard's architecture, for which vLLM 0.24.0 takes another model runner on a GPU."""
    return _guard(folder, "qwen3")


def grpo_guard_over_http(folder: Path) -> Figures:
    """Two steps of GRPO on safety prompts, judged by `guard serve` beside it."""
    guard = teach_guard(folder / "guard", constant_lessons())
    with _served(guard, folder / "serve.log") as url:
        world = _world(folder, "qwen2")
        words = [*safety_overrides(folder, world, guard), *_two_steps(folder)]
        return _grpo(folder, words, "guard=openai_endpoint", f"sinternal.guard.url={url}", *_guard_words())


def grpo_llama(folder: Path) -> Figures:
    """Two steps of GRPO of a Llama."""
    return _grpo(folder, _sums(folder, "llama"), "guard=none")


def grpo_lora(folder: Path) -> Figures:
    """Two steps of GRPO that train an adapter, and its export."""
    figures = _grpo(folder, _sums(folder, "qwen3"), "guard=none", recipe="sinternal_grpo_lora")
    return figures | _exported(folder)


def sft_fsdp1(folder: Path) -> Figures:
    """Six steps of SFT under FSDP1, and the export of its shards."""
    if not ON_GPU:
        raise NotShown("FSDP1 refuses modules on a CPU")
    return _sft(folder, "fsdp")


def sft_fsdp2(folder: Path) -> Figures:
    """Six steps of SFT under FSDP2, and the export of its shards."""
    return _sft(folder, "fsdp2")


def peak_memory(folder: Path) -> Figures:
    """Forward and backward of four layers of 7B width over 10,240 packed tokens, logits included."""
    if not ON_GPU:
        raise NotShown("needs a GPU's memory")
    from transformers import AutoConfig, AutoModelForCausalLM

    figures: Figures = {}
    width = {"hidden_size": 3584, "intermediate_size": 18944, "num_attention_heads": 28, "num_key_value_heads": 4}
    config = AutoConfig.for_model("qwen2", **width, num_hidden_layers=4, vocab_size=152064)
    for attention in ["sdpa"] + ["flash_attention_2"] * is_installed("flash-attn"):
        torch.cuda.reset_peak_memory_stats()
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation=attention).cuda()
        model.gradient_checkpointing_enable()
        weights = torch.cuda.memory_allocated()
        ids = torch.randint(1000, (1, 10240), device="cuda")
        places = torch.arange(2048, device="cuda").repeat(5)[None]
        started = time.perf_counter()
        model(input_ids=ids, position_ids=places, use_cache=False).logits.float().logsumexp(-1).sum().backward()
        torch.cuda.synchronize()
        figures[f"{attention}_s"] = time.perf_counter() - started
        figures[f"{attention}_gb_beside_weights"] = (torch.cuda.max_memory_allocated() - weights) / 1e9
        del model
        torch.cuda.empty_cache()
    return figures


def seeds(folder: Path) -> Figures:
    """What a seed for each request costs vLLM: seconds with seeds over seconds without."""
    from vllm import LLM, SamplingParams

    spawn_engines_on_gpu()
    policy = _world(folder, "qwen2")["policy"]
    machine = {} if ON_GPU else {"dtype": "float32", "enable_chunked_prefill": False}
    llm = LLM(str(policy), max_model_len=512, gpu_memory_utilization=0.2, enforce_eager=not ON_GPU, **machine)
    prompts = [{"prompt_token_ids": [5 + number % 100] * 16} for number in range(128)]

    def seconds(first_seed: int | None) -> float:
        params = [
            SamplingParams(
                max_tokens=128, ignore_eos=True, detokenize=False, seed=None if first_seed is None else first_seed + n
            )
            for n in range(len(prompts))
        ]
        started = time.perf_counter()
        llm.generate(prompts, params, use_tqdm=False)
        return time.perf_counter() - started

    seconds(None), seconds(1)
    without, with_seeds = (min(seconds(each) for _ in range(3)) for each in (None, 1))
    return {"tokens_per_s_without": 128 * 128 / without, "with_over_without": with_seeds / without}


CHECKS: dict[str, Callable[[Path], Figures]] = {
    check.__name__: check
    for check in (
        contract,
        packed_rows,
        guard_qwen2,
        guard_qwen3,
        grpo_guard_over_http,
        grpo_llama,
        grpo_lora,
        sft_fsdp1,
        sft_fsdp2,
        peak_memory,
        seeds,
    )
}


def _tests(arguments: list[str]) -> Figures:
    if not (is_installed("pytest") and is_installed("pytest-timeout")):
        raise NotShown('needs pytest and pytest-timeout: pip install -e ".[gpu,dev]"')
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    return {"tests": done.stdout.strip().splitlines()[-1]}


def is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _world(folder: Path, architecture: str) -> dict[str, Path]:
    # The paper's Llama has a head of its own, as its other models have.
    tied = architecture != "llama"
    policy = make_policy(folder / "policy", arithmetic.corpus(), seed=1, architecture=architecture, tied=tied)
    return {"policy": policy, **arithmetic.write_datasets(folder / "data", seed=1)}


def _sums(folder: Path, architecture: str) -> list[str]:
    """Words of a run on sums, its reward the share of digits: of a random policy no sum is right."""
    reward = folder / "digits.py"
    reward.write_text(
        "def compute_score(data_source, solution_str, ground_truth, extra_info=None):\n"
        "    return sum(letter.isdigit() for letter in solution_str) / len(solution_str or '-')\n"
    )
    return [
        *addition_overrides(_world(folder, architecture)),
        override("reward.custom_reward_function.path", reward),
        *_two_steps(folder),
    ]


def _two_steps(folder: Path) -> list[str]:
    return [
        "trainer.total_training_steps=2",
        "trainer.save_freq=2",
        override("trainer.default_local_dir", folder / "checkpoints"),
    ]


def _grpo(folder: Path, words: list[str], *more: str, recipe: str = "sinternal_grpo") -> Figures:
    """Two steps, packed; ``words`` begin with the recipe for a CPU."""
    if ON_GPU:
        # One card, most of which is left to a guard beside it; lengths are those of the small policy.
        where = ["hardware=1gpu_7b", "actor_rollout_ref.rollout.gpu_memory_utilization=0.3"]
        where += [
            "actor_rollout_ref.rollout.max_model_len=512",
            "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=4096",
        ]
    else:
        where = ["hardware=cpu", "actor_rollout_ref.model.use_remove_padding=true"]
        where += ["actor_rollout_ref.model.use_fused_kernels=true"]
    words = [f"+recipe={recipe}", *where, *words[1:], *more]
    metrics = folder / "checkpoints" / METRICS_FILE
    steps = run_main(grpo_command(*words), folder / "log", metrics, LIMIT_S, name="grpo")
    assert [step.number for step in steps] == [1, 2], steps
    last = steps[-1].metrics
    return {
        "seconds_per_step": last["timing_s/step"],
        "rows_scored": sum(v for name, v in last.items() if name.startswith("train/") and name.endswith("/scored")),
        "grad_norm": last["actor/grad_norm"],
    }


def _sft(folder: Path, strategy: str) -> Figures:
    world = _world(folder, "llama")
    command = sft_command(
        "+recipe=sinternal_sft" if ON_GPU else "+recipe=sinternal_sft_cpu",
        f"engine.strategy={strategy}",
        "model.use_remove_padding=true",
        "model.use_fused_kernels=true",
        override("model.path", world["policy"]),
        override("data.train_files", world["sft"]),
        "data.train_batch_size=16",
        "data.max_length=128",
        "optim.lr=1e-2",
        "trainer.total_training_steps=6",
        "trainer.total_epochs=10",
        "trainer.save_freq=6",
        override("trainer.default_local_dir", folder / "checkpoints"),
    )
    steps = run_main(command, folder / "log", folder / "metrics.jsonl", LIMIT_S, name="sft")
    first, last = (steps[place].metrics["train/loss"] for place in (0, -1))
    assert last < first, f"the loss went from {first} to {last}"
    return {"first_loss": first, "last_loss": last} | _exported(folder)


def _exported(folder: Path) -> Figures:
    """transformers loads what `export` writes, and it is not what the run began with."""
    from safetensors.torch import load_file

    assert export(str(folder / "checkpoints"), str(folder / "model"), None, False) == 0
    before, after = (load_file(path / "model.safetensors") for path in (folder / "policy", folder / "model"))
    changed = sum(not weight.equal(after[name]) for name, weight in before.items())
    assert changed
    return {"exported_weights_changed": changed}


def _guard_words() -> list[str]:
    """A small guard's engine beside a trainer, on this machine."""
    share = [] if ON_GPU else ["hardware=cpu"]
    return [*share, "sinternal.guard.engine.max_model_len=2048", "sinternal.guard.engine.gpu_memory_utilization=0.2"]


@contextmanager
def _served(guard: Path, log: Path) -> Iterator[str]:
    """The address of `guard serve`."""
    words = [override("sinternal.guard.engine.model", guard), "sinternal.guard.replicas=1", *_guard_words()]
    command = [sys.executable, "-m", "sinternal_verl.cli", "guard", "serve", "--port", "0", *words]
    with log.open("w") as out:
        server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        deadline = time.monotonic() + LIMIT_S / 2
        while " at http://" not in log.read_text():
            assert server.poll() is None and time.monotonic() < deadline, f"guard serve did not start\n{tail(log)}"
            time.sleep(0.5)
        yield log.read_text().rpartition(" at ")[2].partition(",")[0]
    finally:
        end_session(server)


def _guard(folder: Path, architecture: str) -> Figures:
    import ray

    from sinternal_verl.guard.backend import connect
    from sinternal_verl.guard.engine import EngineSettings
    from sinternal_verl.guard.replica import GuardSettings, end_guard, start_guard

    model = teach_guard(folder / "guard", lighthouse.conversations(), architecture)
    conversations = list(lighthouse.conversations())
    conversations = conversations[:: max(len(conversations) // JUDGED, 1)][:JUDGED]
    machine = {"gpu_memory_utilization": 0.2} if ON_GPU else {"gpu_memory_utilization": 0.1, "dtype": "float32"}
    engine = EngineSettings(str(model), max_model_len=2048, enforce_eager=not ON_GPU, **machine)

    def judge() -> tuple[list[str | None], float]:
        client = connect({"backend": "ray_actor", "replicas": 1, "request_timeout_s": LIMIT_S / 2})

        async def scene():
            return await asyncio.gather(*(client.judge(user, answer) for user, answer, _ in conversations))

        started = time.perf_counter()
        judgements = asyncio.run(scene())
        return [j.verdict and j.verdict.safety.value for j in judgements], time.perf_counter() - started

    said, figures = {}, {}
    ray.init(address="local", num_cpus=8, include_dashboard=False, log_to_driver=False)
    try:
        for mode in ("decode", "first_token"):
            settings = GuardSettings(engine, mode=mode, num_gpus=int(ON_GPU), start_timeout_s=LIMIT_S / 2)
            replicas = start_guard(settings)
            said[mode], figures[f"{mode}_s"] = judge()
            if mode == "first_token":
                # The replica's child is its engine.
                children = lambda _: [child.pid for child in multiprocessing.active_children()]  # noqa: E731
                (pid,) = ray.get(replicas[0].__ray_call__.remote(children))
                os.kill(pid, signal.SIGKILL)
                again, figures["back_after_s"] = judge()
                assert again == said[mode], "the replica that came back says something else"
            end_guard(replicas)
    finally:
        ray.shutdown()
    wanted = [verdict.splitlines()[0].removeprefix("Safety: ") for *_, verdict in conversations]
    alike = sum(a == b for a, b in zip(said["decode"], said["first_token"], strict=True)) / len(wanted)
    right = sum(a == b for a, b in zip(said["decode"], wanted, strict=True)) / len(wanted)
    assert alike == 1, f"first_token agrees with decoding in {alike:.3f} of {len(wanted)}"
    assert right > 0.9, f"the guard that was taught is right in {right:.3f}"
    return figures | {"conversations": len(wanted), "right": right}
