"""How long a step waits for the guard after its last rollout: verl's GRPO main on the CPU with the demo's
policy, data and guard, every sample timed in the reward worker.

A scorer around each of the recipe's notes when it is called, which is when its rollout has ended, and when
it has its score. The limit: from the last call to the last score at most 10% of the step.
"""

import json
import statistics
import tempfile
from pathlib import Path

from arguments import DEMO, existing, parser_of

from sinternal_verl.demo.settings import GUARD_STEPS, SFT_STEPS, grpo_overrides
from sinternal_verl.overrides import override
from sinternal_verl.runs.launch import grpo_command, run_main

LIMIT, WARM_UP, LIMIT_S = 0.10, 2, 900

TIMED = """
import json, time
from sinternal_verl.scoring.boxed_math import BoxedMath
from sinternal_verl.scoring.registry import scorer
from sinternal_verl.scoring.safety import SafetyScorer

def note(began):
    with open({log!r}, "a") as file:
        file.write(json.dumps([began, time.time()]) + "\\n")

@scorer("timed_math")
class TimedMath(BoxedMath):
    def __call__(self, sample):
        began = time.time()
        score = super().__call__(sample)
        note(began)
        return score

@scorer("timed_safety")
class TimedSafety(SafetyScorer):
    async def __call__(self, sample):
        began = time.time()
        score = await super().__call__(sample)
        note(began)
        return score
"""


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("demo", nargs="?", type=Path, default=DEMO, help="the folder of `make demo`")
    parser.add_argument("steps", nargs="?", type=int, default=8)
    arguments = parser.parse_args()
    demo, steps = existing(arguments.demo.absolute(), "run `make demo` first, or give its folder"), arguments.steps
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        log, scorers = folder / "times.jsonl", folder / "timed.py"
        scorers.write_text(TIMED.format(log=str(log)))
        overrides = grpo_overrides(
            folder / "grpo",
            demo / "sft" / f"global_step_{SFT_STEPS}" / "huggingface",
            demo / "data" / "train.parquet",
            [demo / "data" / "sums" / "held_out.parquet"],
            demo / "guard_sft" / f"global_step_{GUARD_STEPS}" / "huggingface",
            seed=1,
            steps=WARM_UP + steps,
        )
        timed = [override(f"+sinternal.scorers.{name}.path", scorers) for name in ("boxed_math", "safety")]
        names = ["boxed_math.scorer=timed_math", "safety.scorer=timed_safety"]
        command = grpo_command(
            *overrides,
            *timed,
            *(f"+sinternal.scorers.{name}" for name in names),
            "trainer.val_before_train=false",
            "trainer.test_freq=-1",
            "trainer.save_freq=-1",
        )
        done = run_main(command, folder / "log", folder / "grpo" / "metrics.jsonl", LIMIT_S, name="GRPO")
        times = [json.loads(line) for line in log.read_text().splitlines()]
    rows, shares = len(times) // len(done), []
    for number, step in enumerate(done):
        # A sync step scores all of its rows before the next one begins.
        own = times[number * rows : (number + 1) * rows]
        wait = max(end for _, end in own) - max(began for began, _ in own)
        shares.append(wait / step.metrics["timing_s/step"])
        print(f"step {step.number}: {rows} rows, {wait * 1000:5.0f} ms of {step.metrics['timing_s/step']:.1f} s")
    share = statistics.median(shares[WARM_UP:])
    print(f"from the last rollout to the last reward: {share:.1%} of the step (median), at most {LIMIT:.0%}")
    raise SystemExit(0 if share <= LIMIT else 1)


if __name__ == "__main__":
    main()
