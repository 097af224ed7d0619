"""SFT tokens per second: our recipe and dataset against verl's own dataset, same model, data and main.

verl's side reads the same conversations as ``messages`` through its `MultiTurnSFTDataset`; the policy's
template has no thought to lose. Both are timed between their steps `WARM_UP` and the last. The limit: at
least 1.0 of verl's tokens per second.
"""

import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from arguments import parser_of

from sinternal_verl.demo.settings import sft_overrides
from sinternal_verl.runs.curves import Step
from sinternal_verl.runs.launch import run_main, sft_command
from sinternal_verl.world import arithmetic
from sinternal_verl.world.policy_model import make_policy

WARM_UP, LIMIT_S, AT_LEAST = 10, 900, 1.0
THEIRS = ["data.custom_cls.path=null", "data.custom_cls.name=null", "data.messages_key=messages"]


def tokens_per_second(name: str, folder: Path, policy: Path, data: Path, steps: int, overrides: list[str]) -> float:
    seen: dict[int, float] = {}

    def describe(step: Step) -> str:
        seen.setdefault(step.number, time.perf_counter())
        return ""

    command = sft_command(*sft_overrides(folder / name, policy, data, seed=1, steps=steps), *overrides)
    done = run_main(command, folder / f"{name}.log", folder / f"{name}.jsonl", LIMIT_S, describe, steps, name)
    first, last = min(number for number in seen if number > WARM_UP), max(seen)
    tokens = sum(step.metrics["train/global_tokens"] for step in done if first < step.number <= last)
    return tokens / (seen[last] - seen[first])


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("steps", nargs="?", type=int, default=150)
    steps = parser.parse_args().steps
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        policy = make_policy(folder / "policy", arithmetic.corpus(), seed=1)
        ours = arithmetic.write_datasets(folder / "data", seed=1)["sft"]
        rows = [
            {"messages": [*row["prompt"], {"role": "assistant", "content": row["completion"]}]}
            for row in pq.read_table(ours).to_pylist()
        ]
        pq.write_table(pa.Table.from_pylist(rows), folder / "messages.parquet")
        verls = tokens_per_second("verl", folder, policy, folder / "messages.parquet", steps, THEIRS)
        own = tokens_per_second("ours", folder, policy, ours, steps, [])
    print(f"verl's dataset {verls:,.0f} tokens/s, ours {own:,.0f}: {own / verls:.2f}, at least {AT_LEAST}")
    raise SystemExit(0 if own / verls >= AT_LEAST else 1)


if __name__ == "__main__":
    main()
