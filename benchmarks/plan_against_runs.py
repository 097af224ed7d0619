"""Plans of GRPO against runs of it on this CPU, for policies of three sizes: each phase's seconds, and plan / run.

The machine's FLOP/s and bandwidth are measured before and after each run, by products of the policy's own shapes on
one thread, as Ray's workers compute. What no size explains (an agent loop, a look for rollouts, a driver) is taken from
a run of the demo's policy, which is a hundred times smaller. The three runs are then planned with these figures and
with shares of 1, since what was measured is reached.

A ratio that stays the same over the sizes shows that a phase grows as planned.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from arguments import parser_of

from sinternal_verl.config import compose_config
from sinternal_verl.plan.cards import Card
from sinternal_verl.plan.factors import Factors
from sinternal_verl.plan.grpo import grpo_step
from sinternal_verl.plan.setup import Setup, set_up
from sinternal_verl.plan.work import Asked
from sinternal_verl.runs.launch import grpo_command, run_main
from sinternal_verl.world import arithmetic
from sinternal_verl.world.policy_model import make_policy

TINY = (128, 2)
SIZES = ((256, 4), (512, 4), (768, 5))
"""Hidden size and number of blocks: 4, 16 and 45 million weights."""

PROMPTS, SAMPLES, PROMPT, RESPONSE = 8, 4, 32, 48
WARM_UP, LIMIT_S = 1, 1500
PHASES = ("gen", "old_log_prob", "update_actor", "update_weights", "step")
REACHED = dict.fromkeys(("update_flops", "forward_flops", "prefill_flops", "decode_flops", "decode_bandwidth"), 1.0)
NOTHING = dict.fromkeys(("decode_step_s", "decode_response_s", "rollout_s", "step_s", "wake_s"), 0.0)


def words_of(policy: Path, data: dict[str, Path], folder: Path, steps: int) -> list[str]:
    return [
        "+recipe=sinternal_grpo_cpu",
        f"actor_rollout_ref.model.path={policy}",
        f"data.train_files={data['train']}",
        f"data.val_files={data['held_out']}",
        f"data.train_batch_size={PROMPTS}",
        f"actor_rollout_ref.rollout.n={SAMPLES}",
        f"data.max_prompt_length={PROMPT}",
        f"data.max_response_length={RESPONSE}",
        "actor_rollout_ref.actor.optim.lr=1e-12",
        "trainer.val_before_train=false",
        "trainer.test_freq=-1",
        "trainer.save_freq=-1",
        f"trainer.total_training_steps={WARM_UP + steps}",
        "trainer.logger=[console,file]",
        f"trainer.default_local_dir={folder}",
    ]


def seconds_of(work, repeats: int = 5) -> float:
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def machine(hidden: int) -> tuple[float, float]:
    """FLOP/s of products of this width, and bytes/s of reading weights that no cache holds; one thread, fp32."""
    torch.set_num_threads(1)
    rows = PROMPTS * SAMPLES * (PROMPT + RESPONSE) // 2
    left, right = torch.randn(rows, hidden), torch.randn(hidden, 4 * hidden)
    flops = 2 * rows * hidden * 4 * hidden / seconds_of(lambda: left @ right)
    weights, one = torch.randn(8192, 8192), torch.randn(8192)
    return flops, 4 * weights.numel() / seconds_of(lambda: weights @ one)


def run(hidden: int, layers: int, folder: Path, steps: int) -> tuple[dict[str, float], Setup]:
    """Median seconds of each phase, and the setup of the same words on the machine as it was measured."""
    policy = make_policy(folder / "policy", arithmetic.corpus(), seed=1, hidden=hidden, layers=layers)
    data = arithmetic.write_datasets(folder / "data", seed=1)
    words = words_of(policy, data, folder / "run", steps)
    before = machine(hidden)
    done = run_main(grpo_command(*words), folder / "log", folder / "metrics.jsonl", LIMIT_S, name=f"{hidden}x{layers}")
    flops, bandwidth = (statistics.mean(both) for both in zip(before, machine(hidden), strict=True))
    done = done[WARM_UP:]
    median = {name: statistics.median(step.metrics[f"timing_s/{name}"] for step in done) for name in PHASES}
    lengths = {
        part: statistics.median(step.metrics[f"{part}_length/mean"] for step in done) for part in ("prompt", "response")
    }
    card = Card("this CPU, one thread", flops, bandwidth, 8.0, bandwidth, bandwidth, bandwidth, "measured here")
    return median, set_up(compose_config(words), card, Asked(lengths["response"], lengths["prompt"]))


def overheads(median: dict[str, float], setup: Setup) -> Factors:
    """The factors that no size explains, from the run of the smallest policy."""
    bare = Factors.at("typical").but(**REACHED, **NOTHING)
    planned = grpo_step(setup, bare)
    phases = sum(median[name] for name in PHASES[:-1])
    return bare.but(
        decode_step_s=max(median["gen"] - planned.phases["gen"], 0.0) / float(planned.rollouts.lengths.max()),
        step_s=max(median["step"] - phases, 0.0),
        sync_bytes_s=2.0 * setup.size.total / median["update_weights"],
    )


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)  # each size is shown when it is done
    parser = parser_of(__doc__)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--sizes", type=int, default=len(SIZES), help="how many of the sizes, the smallest first")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tiny").mkdir()
        median, setup = run(*TINY, folder / "tiny", arguments.steps)
        factors = overheads(median, setup)
        print(f"smallest, {setup.size.total / 1e6:.2f} million weights: {shown(median)}")
        for hidden, layers in SIZES[: arguments.sizes]:
            here = folder / f"{hidden}x{layers}"
            here.mkdir()
            median, setup = run(hidden, layers, here, arguments.steps)
            planned = grpo_step(setup, factors)
            seconds = {**planned.phases, "step": planned.seconds}
            print(
                f"{setup.size.total / 1e6:.0f} million weights, {setup.card.flops / 1e9:.0f} GFLOP/s, "
                f"{setup.card.bandwidth / 1e9:.1f} GB/s, {len(planned.rollouts.lengths)} responses of "
                f"{planned.rollouts.lengths.mean():.0f} tokens"
            )
            print(f"  {'phase':15}{'run, s':>10}{'plan, s':>10}{'plan / run':>12}")
            for phase in PHASES:
                print(f"  {phase:15}{median[phase]:10.2f}{seconds[phase]:10.2f}{seconds[phase] / median[phase]:12.2f}")


def shown(median: dict[str, float]) -> str:
    return ", ".join(f"{name} {seconds:.2f}" for name, seconds in median.items())


if __name__ == "__main__":
    main()
