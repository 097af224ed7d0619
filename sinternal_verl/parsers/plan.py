"""The words of `sinternal-verl plan`."""

from typing import Any

from sinternal_verl.parsers.common import RUN, add_command, add_overrides


def add_plan(commands: Any) -> None:
    plan = add_command(
        commands,
        "plan",
        "plan:plan",
        "reckon what a run needs: memory, time by phase, disk and cost; no GPU and no weights are needed",
        "+recipe=sinternal_grpo actor_rollout_ref.model.path=deepseek-ai/DeepSeek-R1-Distill-Qwen-7B "
        "--card h100 --nodes 1,2,4,...,64",
    )
    card = 'a100, a100-40, h100, h200, b200, h20, or figures: "flops=989e12 bandwidth=3.35e12 memory=80"'
    plan.add_argument("--card", metavar="CARD", help=f"{card}; default: this machine's, else h100")
    plan.add_argument("--nodes", metavar="N,N,...", help="also show the run on these numbers of nodes: 1,2,4,...,64")
    plan.add_argument("--format", dest="form", choices=("text", "json", "csv"), default="text")
    plan.add_argument(
        "--response-tokens", type=float, metavar="TOKENS", help="mean response, or mean row of SFT; default: assumed"
    )
    plan.add_argument("--prompt-tokens", type=float, metavar="TOKENS", help="mean prompt; default: assumed")
    plan.add_argument("--prompts", type=int, metavar="ROWS", help="training rows; default: the file's, or the paper's")
    plan.add_argument("--flash-attn", choices=("yes", "no"), help="is it installed there? default: as on this machine")
    add_overrides(plan, RUN, "sinternal_verl.config:compose_main")
