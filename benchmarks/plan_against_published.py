"""Plans of GRPO against steps that others have published: seconds of each phase, with the plan's range and the ratio.

Reads benchmarks/measured/published.yaml, which says where each step is from and what its source leaves open.
"""

import math

import yaml
from arguments import ROOT, parser_of

from sinternal_verl.attention import assuming
from sinternal_verl.config import compose_config
from sinternal_verl.plan.cards import card_of
from sinternal_verl.plan.factors import Factors
from sinternal_verl.plan.figures import Line, figures_of
from sinternal_verl.plan.grpo import grpo_step
from sinternal_verl.plan.setup import Setup, set_up
from sinternal_verl.plan.work import Asked

PUBLISHED = ROOT / "benchmarks" / "measured" / "published.yaml"


def setup_of(entry: dict) -> Setup:
    model = f"actor_rollout_ref.model.path={entry['model']}"
    words = ["+recipe=sinternal_grpo", "guard=none", model, f"trainer.nnodes={entry['nodes']}", *entry["words"]]
    asked = Asked(response_tokens=entry["response_tokens"], prompt_tokens=entry["prompt_tokens"])
    return set_up(compose_config(words), card_of(entry["card"]), asked)


def lines(entry: dict, setup: Setup, factors: Factors) -> list[Line]:
    step = grpo_step(setup, factors)
    planned = {**step.phases, "step": step.seconds}
    if entry.get("gen_syncs"):
        planned["gen"] += planned["update_weights"]
    return [Line("", phase, float(planned[phase]), "s") for phase in entry["seconds"]]


def main() -> None:
    parser_of(__doc__).parse_args()
    ratios = []
    with assuming(True):
        for name, entry in yaml.safe_load(PUBLISHED.read_text()).items():
            setup = setup_of(entry)
            print(f"{name}: {entry['what']}{'; factors were taken from it' if entry['used'] else ''}")
            for figure in figures_of(lambda factors, entry=entry, setup=setup: lines(entry, setup, factors)):
                said = entry["seconds"][figure.name]
                within = "" if figure.low <= said <= figure.high else "  outside the range"
                print(
                    f"  {figure.name:15} published {said:7.1f} s, plan {figure.value:7.1f} s "
                    f"({figure.low:.0f} to {figure.high:.0f}), plan / published {figure.value / said:.2f}{within}"
                )
                ratios.append(figure.value / said)
    spread = math.exp(math.sqrt(sum(math.log(ratio) ** 2 for ratio in ratios) / len(ratios)))
    print(
        f"{len(ratios)} phases: from {min(ratios):.2f} to {max(ratios):.2f}, typically off by a factor of {spread:.2f}"
    )


if __name__ == "__main__":
    main()
