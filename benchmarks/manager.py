"""The reward manager against verl's naive one with math_reward, per sample, in one run.

Both score MATH-500's gold solutions, without a guard, through ``run_single`` as verl's reward worker
calls it: one after the other, and 64 at a time. The limit: at most 1.0 of the naive manager's time.
"""

import asyncio
import json
import time

import numpy as np
import torch
from arguments import add_math500, math500, parser_of
from omegaconf import OmegaConf
from verl import DataProto
from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager
from verl.utils.reward_score import math_reward

from sinternal_verl.training.manager import SInternalRewardManager
from sinternal_verl.world.policy_model import make_tokenizer

LIMIT = 1.0
ROUNDS = 7
AT_A_TIME = 64

CONFIG = OmegaConf.create(
    {
        "reward": {"custom_reward_function": {"path": None}},
        "sinternal": {"scorers": {"boxed_math": {"sources": ["*"], "thought": "none"}}},
        "data": {},
    }
)


def naive_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs) -> dict:
    """What verl itself computes for the MATH data sources."""
    score = math_reward.compute_score(solution_str, ground_truth)
    return {"score": score, "acc": score}


def as_verl_sends_it(row: dict, tokenizer) -> DataProto:
    ids = torch.tensor([tokenizer.encode(row["solution"], add_special_tokens=False)])
    mask = torch.ones(1, 2 + ids.shape[1], dtype=torch.long)
    return DataProto.from_dict(
        tensors={"prompts": torch.zeros(1, 2, dtype=torch.long), "responses": ids, "attention_mask": mask},
        non_tensors={
            "data_source": np.array(["math500"], dtype=object),
            "reward_model": np.array([{"style": "rule", "ground_truth": row["answer"]}], dtype=object),
            "extra_info": np.array([{"index": row["unique_id"]}], dtype=object),
            "__num_turns__": np.array([2]),
        },
    )


async def microseconds(manager, samples: list[DataProto], at_a_time: int) -> tuple[float, int]:
    """Best of the rounds, per sample; and how many were right."""
    best, right = float("inf"), 0
    for _ in range(ROUNDS):
        start, right = time.perf_counter(), 0
        for first in range(0, len(samples), at_a_time):
            calls = [manager.run_single(sample) for sample in samples[first : first + at_a_time]]
            right += sum(result["reward_score"] == 1.0 for result in await asyncio.gather(*calls))
        best = min(best, time.perf_counter() - start)
    return best / len(samples) * 1e6, right


async def compare(rows: list[dict], tokenizer) -> bool:
    samples = [as_verl_sends_it(row, tokenizer) for row in rows]
    holds = True
    print(f"{len(samples)} gold solutions of {np.mean([len(s.batch['responses'][0]) for s in samples]):.0f} tokens")
    for at_a_time in (1, AT_A_TIME):
        naive, naive_right = await microseconds(NaiveRewardManager(CONFIG, tokenizer, naive_score), samples, at_a_time)
        ours, right = await microseconds(SInternalRewardManager(CONFIG, tokenizer, naive_score), samples, at_a_time)
        holds &= ours / naive <= LIMIT
        print(
            f"{at_a_time:3} at a time: ours {ours:6.0f} us ({right} right), verl's naive with math_reward "
            f"{naive:6.0f} us ({naive_right} right), ratio {ours / naive:.2f} of at most {LIMIT}"
        )
    return holds


def main() -> None:
    parser = parser_of(__doc__)
    add_math500(parser)
    rows = [json.loads(line) for line in math500(parser.parse_args().file).read_text().splitlines()]
    tokenizer = make_tokenizer([row["solution"] for row in rows], vocab_size=4096)
    raise SystemExit(0 if asyncio.run(compare(rows, tokenizer)) else 1)


if __name__ == "__main__":
    main()
