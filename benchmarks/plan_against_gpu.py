"""Plans against what benchmarks/gpu_measure.py has measured on a card: each quantity, the plan's, and plan / measured.

Reads benchmarks/measured/gpu_*.yaml, or the file that is given: YAML, or the gpu_measure.json that the script writes.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from arguments import ROOT, existing, parser_of
from transformers import AutoConfig

from sinternal_verl.attention import assuming
from sinternal_verl.config import compose_config
from sinternal_verl.doctor.memory import WITHOUT_FLASH, ModelSize, Training, size_of
from sinternal_verl.plan.cards import Card, card_here, card_of
from sinternal_verl.plan.factors import Factors, read
from sinternal_verl.plan.generation import Engine
from sinternal_verl.plan.grpo import grpo_step
from sinternal_verl.plan.guarding import Guard
from sinternal_verl.plan.setup import set_up
from sinternal_verl.plan.training import Batch, Trainer
from sinternal_verl.plan.work import Asked

SEVEN, SMALL = (f"deepseek-ai/DeepSeek-R1-Distill-Qwen-{size}B" for size in ("7", "1.5"))
GUARD = "Qwen/Qwen3Guard-Gen-4B"
TOKENS, LAYERS = 10_240, 4
CACHED, ASKED = 300, 40
"""Of the guard's measure: tokens in the prefix cache, and those of the user's text."""

GRPO = (
    *("+recipe=sinternal_grpo", "hardware=1gpu_7b", "guard=openai_endpoint", "sinternal.guard.url=http://host:1/v1"),
    *(f"actor_rollout_ref.model.path={SMALL}", "data.train_batch_size=16", "data.max_prompt_length=256"),
    *("data.max_response_length=1024", "actor_rollout_ref.rollout.max_model_len=1280"),
    "actor_rollout_ref.rollout.gpu_memory_utilization=0.5",
)
"""The run of gpu_measure's `grpo`."""


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, float | str]]:
    """Every number and text of a file, under the names of its measure and its figure."""
    if isinstance(node, dict):
        named = node.get("check", node.get("name"))
        name = f"{path}{named}." if isinstance(named, str) and "figures" in node else path
        for key, below in node.items():
            plain = key in ("measures", "figures")
            yield from leaves(below, name if plain else f"{name}{key}.")
    elif isinstance(node, list):
        for below in node:
            yield from leaves(below, path)
    elif isinstance(node, int | float | str) and not isinstance(node, bool):
        yield path.rstrip("."), node


def sized(path: str, **changes: int) -> ModelSize:
    return size_of(AutoConfig.for_model(**read("models.yaml")[path] | changes))


def trainer(size: ModelSize, card: Card, factors: Factors, offload: bool) -> Trainer:
    training = Training(1, 1, TOKENS, 4, offload, False, False, True, WITHOUT_FLASH)
    return Trainer(size, training, card, factors, cards=1, dense=True)


def rows(count: int) -> Batch:
    return Batch(np.full(count, TOKENS / count))


def planned(card: Card, factors: Factors) -> dict[str, float]:
    """What a plan says of each quantity that gpu_measure measures."""
    seven, few = sized(SEVEN), sized(SEVEN, num_hidden_layers=LAYERS)
    blocks = trainer(replace(seven, vocabulary=0), card, factors, False)
    found = {}
    for count in (1, 5):
        found[f"blocks.forward_{count}_rows_tokens_per_s"] = TOKENS / blocks.forward(rows(count)).compute
        found[f"blocks.train_{count}_rows_tokens_per_s"] = TOKENS / blocks.update(rows(count)).compute
    for name, offload in (("on_card", False), ("offloaded", True)):
        actor = trainer(few, card, factors, offload)
        for count in (1, 5):
            found[f"actor.{name}_log_probs_{count}_rows_tokens_per_s"] = TOKENS / actor.forward(rows(count)).seconds
        update = actor.update(rows(5))
        found[f"actor.{name}_train_tokens_per_s"] = TOKENS / (update.seconds - update.optimizer)
        found[f"actor.{name}_optimizer_s"] = update.optimizer
    engine = Engine(seven, card, factors)
    for count, context in ((64, 3968), (256, 896)):
        found[f"rollouts.prefill_of_{context}_tokens_per_s"] = context / engine.prefill_s(context, context)
        found[f"rollouts.decode_{count}_at_{context}_tokens_per_s"] = count / engine.step_s(
            count, count * (context + 64)
        )
    guard = Guard(sized(GUARD), card, factors.but(template_tokens=CACHED))
    for answer in (50, 200, 1000, 4000):
        found[f"guard.first_token_of_{answer}_per_s"] = 1 / guard.judgement_s(0, ASKED + answer)
        found[f"guard.decode_of_{answer}_per_s"] = 1 / replace(guard, decodes=True).judgement_s(0, ASKED + answer)
    return found


def steps(card: Card, factors: Factors, response: float) -> dict[str, float]:
    step = grpo_step(set_up(compose_config(list(GRPO)), card, Asked(response, 32)), factors)
    return {f"grpo.timing_s_{name}": float(s) for name, s in {**step.phases, "step": step.seconds}.items()}


def compare(file: Path) -> None:
    said = dict(leaves(yaml.safe_load(file.read_text())))
    texts = [value for value in said.values() if isinstance(value, str)]
    card = next((found for text in texts if (found := card_here(((text, 80.0),)))), None) or card_of("h100")
    print(f"{file.name}: {card.name}")
    for name, peak in (("card.matmul_tflops", card.flops / 1e12), ("card.copy_gb_s", card.bandwidth / 1e9)):
        if isinstance(said.get(name), int | float):
            print(f"  {name:45} measured {said[name]:12,.0f}  of the peak {said[name] / peak:.0%}")
    ends = {end: planned(card, Factors.at(end)) for end in ("typical", "slow", "fast")}
    if isinstance(response := said.get("grpo.response_tokens"), int | float):
        for end, found in ends.items():
            found |= steps(card, Factors.at(end), max(response, 1.0))
    for name, plan in ends["typical"].items():
        if not isinstance(measured := said.get(name), int | float) or not measured:
            print(f"  {name:45} not measured; plan {plan:,.2f}")
            continue
        low, high = sorted((ends["slow"][name], ends["fast"][name]))
        within = "" if low <= measured <= high else "  outside all slow to all fast"
        ratio = f"plan / measured {plan / measured:.2f}"
        print(f"  {name:45} measured {measured:12,.2f}  plan {plan:12,.2f}  {ratio}{within}")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("file", nargs="?", type=Path)
    given = parser.parse_args().file
    files = [given] if given else sorted((ROOT / "benchmarks" / "measured").glob("gpu_*.yaml"))
    if not files:
        print("no benchmarks/measured/gpu_*.yaml: run benchmarks/gpu_measure.py on a GPU", file=sys.stderr)
        raise SystemExit(2)
    with assuming(False):
        for file in files:
            compare(existing(file, "give a file of benchmarks/gpu_measure.py"))


if __name__ == "__main__":
    main()
