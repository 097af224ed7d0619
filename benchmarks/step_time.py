"""A GRPO step on the CPU with our trainer, manager and agent loop, against plain verl with the same
model, data and lengths, in one run of this script.

Plain verl: its sync trainer, naive manager and single-turn loop, with our boxed_math as its reward
function. The rate is next to nothing, so that both sample from one policy at every step. Prints the median step of
each, its parts, the ratio (limit 0.8) and the share of our own work in our step (limit 1%).

The model is the demo's policy, of two layers; four are what it had when the ratio was 0.87.
"""

import statistics
import tempfile
from pathlib import Path

from arguments import parser_of

from sinternal_verl.runs.curves import Step
from sinternal_verl.runs.launch import grpo_command, run_main
from sinternal_verl.world import arithmetic
from sinternal_verl.world.policy_model import make_policy

RATIO_LIMIT, SHARE_LIMIT = 0.8, 0.01
WARM_UP = 3
LIMIT_S = 900

PLAIN = [
    "trainer.v1.trainer_mode=sync",
    "reward.reward_manager.source=register",
    "reward.reward_manager.name=naive",
    "reward.custom_reward_function.path=pkg://sinternal_verl.reward_fns.boxed_math",
    "actor_rollout_ref.rollout.agent.default_agent_loop=single_turn_agent",
]
PARTS = ("step", "gen", "sinternal", "old_log_prob", "adv", "update_actor", "update_weights")


def steps_of(name: str, folder: Path, steps: int, layers: int, overrides: list[str]) -> list[Step]:
    policy = make_policy(folder / "policy", arithmetic.corpus(), seed=1, layers=layers)
    data = arithmetic.write_datasets(folder / "data", seed=1)
    command = grpo_command(
        "+recipe=sinternal_grpo_cpu",
        f"actor_rollout_ref.model.path={policy}",
        f"data.train_files={data['train']}",
        f"data.val_files={data['held_out']}",
        "data.train_batch_size=16",
        "data.max_prompt_length=32",
        "data.max_response_length=48",
        "actor_rollout_ref.actor.optim.lr=1e-12",
        "trainer.val_before_train=false",
        "trainer.test_freq=-1",
        "trainer.save_freq=-1",
        f"trainer.total_training_steps={WARM_UP + steps}",
        "trainer.logger=[console,file]",
        f"trainer.default_local_dir={folder / name}",
        *overrides,
    )
    done = run_main(command, folder / f"{name}.log", folder / f"{name}.jsonl", LIMIT_S, name=name)
    return done[WARM_UP:]


def median(steps: list[Step], part: str) -> float:
    return statistics.median(step.metrics.get(f"timing_s/{part}", 0.0) for step in steps)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("steps", nargs="?", type=int, default=12)
    parser.add_argument("layers", nargs="?", type=int, default=2)
    arguments = parser.parse_args()
    steps, layers = arguments.steps, arguments.layers
    with tempfile.TemporaryDirectory() as folder:
        plain = steps_of("plain", Path(folder), steps, layers, PLAIN)
        ours = steps_of("ours", Path(folder), steps, layers, [])
    print(f"median of {steps} steps of 128 rollouts, {layers} layers, seconds")
    print(f"{'':14}" + "".join(f"{part:>15}" for part in PARTS))
    for name, done in (("plain verl", plain), ("ours", ours)):
        print(f"{name:14}" + "".join(f"{median(done, part):15.3f}" for part in PARTS))
    ratio = median(ours, "step") / median(plain, "step")
    share = median(ours, "sinternal") / median(ours, "step")
    print(f"step: {ratio:.2f} of plain verl's, at most {RATIO_LIMIT}")
    print(f"our own work: {share:.2%} of our step, at most {SHARE_LIMIT:.0%}")
    raise SystemExit(0 if ratio <= RATIO_LIMIT and share <= SHARE_LIMIT else 1)


if __name__ == "__main__":
    main()
