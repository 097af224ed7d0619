"""An SFT step of the demo's policy on the CPU, against the one of the first demo: four layers instead of two, 32 rows
a step instead of 16, in turns.

verl's own SFT main on one process and one thread. Prints seconds a step, the share of them that the same products of
matrices take in plain torch, and the seconds of a whole demo's SFT.
"""

import statistics
import tempfile
import time
from pathlib import Path

import torch
from arguments import parser_of
from transformers import AutoConfig

from sinternal_verl.demo.settings import SFT_STEPS, sft_overrides
from sinternal_verl.runs.curves import read_steps
from sinternal_verl.runs.launch import Main, MainFailed, sft_command
from sinternal_verl.world import arithmetic
from sinternal_verl.world.policy_model import make_policy

WARM_UP = 5
LIMIT_S, POLL_S = 300, 0.02
FIRST_DEMO, NOW = "first demo", "now"
LAYERS = {FIRST_DEMO: 4, NOW: 2}
ROWS = {FIRST_DEMO: 32, NOW: 16}
DEMO_STEPS = {FIRST_DEMO: 640, NOW: SFT_STEPS}
TOKENS = 43
"""Of one sum as the policy sees it, padded to the longest of its batch."""


def seconds_a_step(name: str, folder: Path, steps: int) -> float:
    folder.mkdir(parents=True)
    policy = make_policy(folder / "policy", arithmetic.corpus(), seed=1, layers=LAYERS[name])
    data = arithmetic.write_datasets(folder / "data", seed=1)
    total = WARM_UP + steps
    command = sft_command(
        *sft_overrides(folder / "sft", policy, data["sft"], 1, total), f"data.train_batch_size={ROWS[name]}"
    )
    log, metrics, started = folder / "sft.log", folder / "sft.jsonl", time.monotonic()
    reached: dict[int, float] = {}
    with Main(name, command, log, metrics, LIMIT_S):
        while total not in reached:
            if time.monotonic() - started > LIMIT_S:
                raise MainFailed(f"{name} took more than {LIMIT_S} s; log: {log}")
            reached |= {step.number: time.monotonic() for step in read_steps(metrics) if step.number not in reached}
            time.sleep(POLL_S)
    return (reached[total] - reached[WARM_UP]) / steps


def seconds_of_products(name: str, folder: Path) -> float:
    """A step's multiplications by the weights alone: forward, and twice as many backward."""
    torch.set_num_threads(1)
    config = AutoConfig.from_pretrained(folder / "policy")
    hidden, wide = config.hidden_size, config.intermediate_size
    keys = hidden * config.num_key_value_heads // config.num_attention_heads
    shapes = [(hidden, n) for n in (hidden, keys, keys, hidden, wide, wide)] + [(wide, hidden)]
    shapes = shapes * config.num_hidden_layers + [(hidden, config.vocab_size)]
    pairs = [(torch.randn(ROWS[name] * TOKENS, inner), torch.randn(inner, outer)) for inner, outer in shapes]
    times = []
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(3):
            for left, right in pairs:
                left @ right
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("steps", nargs="?", type=int, default=40)
    parser.add_argument("turns", nargs="?", type=int, default=2)
    arguments = parser.parse_args()
    steps, turns = arguments.steps, arguments.turns
    seconds: dict[str, list[float]] = {FIRST_DEMO: [], NOW: []}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(turns):
            for name in seconds:
                seconds[name].append(seconds_a_step(name, Path(folder) / name / str(turn), steps))
        print(f"{'':12}{'s a step':>10}{'products':>10}{'rows/s':>10}{'demo, s':>10}")
        for name, values in seconds.items():
            step = statistics.median(values)
            products = seconds_of_products(name, Path(folder) / name / "0")
            whole = step * DEMO_STEPS[name]
            print(f"{name:12}{step:10.3f}{products / step:10.0%}{ROWS[name] / step:10.0f}{whole:10.0f}")


if __name__ == "__main__":
    main()
