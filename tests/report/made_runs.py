"""Makes run folders as our mains and plain verl leave them, with invented harmless texts of the lighthouse world.

::

    make_grpo(tmp_path / "run", steps=10, resumes=(4,), unscored=0.1)
    make_grpo(tmp_path / "run", alter=lambda step, data: data | {"actor/entropy": 1 / (1 + step)})
    make_plain(tmp_path / "verl")
    make_sft(tmp_path / "sft")

What our trainer writes is written by its own parts: rows, curves, dumps, metrics file and record. What verl writes is
written as verl 0.9.1 does. The same arguments make the same files, except for versions.
"""

import json
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sinternal_verl.runs.record import LAST_STEP, STARTS, TRACKER, read_record, record_start, update_record
from sinternal_verl.scoring.score import UNSCORED, Outcome
from sinternal_verl.training import dumps
from sinternal_verl.training.guard_curves import GuardCurves
from sinternal_verl.training.metrics_file import METRICS_FILE, MetricsFile
from sinternal_verl.training.rollouts import Row
from sinternal_verl.training.source_curves import SourceCurves

HARMFUL, BENIGN, SUMS = "safety/harmful/lighthouse", "safety/benign/lighthouse", "world/addition"
BEGAN = datetime(2026, 11, 26, 12, 0, 0, tzinfo=timezone.utc)
STEP = timedelta(seconds=60)
FILES_TIME = "%Y%m%d_%H%M%S"

_THINGS = ("the lamp", "the lens", "the signal book", "the key of the gallery", "the fog bell", "the spare wick")
_PEOPLE = ("the keeper", "a sailor", "the harbour master", "a visitor", "the apprentice", "a fisherman")
_SAYINGS = (
    "{who} asks for {what}, and the rules of the tower say who may have it.",
    "At night {what} stays where it is, because ships depend on it.",
    "{who} came by the north path and left {what} by the door.",
    "If {what} is lent by day, it has to be back before dusk.",
    "So it matters whether {who} is known here, and what {what} is wanted for.",
)


@dataclass(frozen=True)
class Made:
    """What a made run is like.

    Attributes:
        steps: steps that it trained.
        last_step: the step at which it would be done; None takes ``steps``, so that it is finished.
        prompts, responses: prompts of a step, and responses to each; sources take turns.
        validate_every: steps between validations, which the step 0 has, too; 0 makes none.
        resumes: steps at which a later start went on. The start before it had trained one step more.
        unscored: share of the responses to safety prompts for which the guard gave no verdict.
        characters: about how long a response is.
        dumped: whether rollouts were dumped.
        alter: changes the metrics of a step before they are written.
        config: keys and values that are added to the configuration.
    """

    steps: int = 6
    last_step: int | None = None
    prompts: int = 6
    responses: int = 4
    sources: tuple[str, ...] = (HARMFUL, BENIGN, SUMS)
    validate_every: int = 2
    resumes: tuple[int, ...] = ()
    unscored: float = 0.0
    characters: int = 240
    dumped: bool = True
    seed: int = 1
    alter: Callable[[int, dict[str, Any]], dict[str, Any]] | None = None
    config: tuple[tuple[str, Any], ...] = ()

    def starts(self) -> Iterator[tuple[int, int, int]]:
        """Each start: its number, the step that it goes on from, and its last step."""
        begins = (0, *self.resumes)
        for number, begin in enumerate(begins):
            following = begins[number + 1 : number + 2]
            yield number, begin, min(following[0] + 1, self.steps) if following else self.steps

    def validates(self, step: int) -> bool:
        return self.validate_every > 0 and (step % self.validate_every == 0 or step == self.steps)


@dataclass(frozen=True)
class Rollout:
    row: Row
    prompt: str
    response: str
    truth: str
    advantage: float | None


def make_grpo(folder: Path, **made: Any) -> Path:
    """Make the checkpoint folder of a run of our GRPO main; its dumps are in ``rollouts`` and ``validation`` there.

    Args:
        made: `Made`'s attributes.
    """
    like = Made(**made)
    config = make_config(folder, like)
    train, held_out, guard = SourceCurves("train"), SourceCurves("val"), GuardCurves()
    for number, begin, end in like.starts():
        time = start_time(like, begin, number)
        _record(folder, config, number, begin, time, folder / METRICS_FILE)
        file = MetricsFile(folder / METRICS_FILE, done=begin)
        if like.validates(0) and begin == 0:
            file.log(_altered(like, 0, _validate(folder, like, 0, held_out)), 0)
        for step in range(begin + 1, end + 1):
            rollouts = list(rollouts_of(like, step))
            rows = [rollout.row for rollout in rollouts]
            data = _common(like, step, rollouts) | train.step(rows) | guard.step(rows)
            unscored = sum(not row.scored for row in rows)
            data |= {"training/failures/missing": 0, "training/failures/unscored": unscored}
            data |= {"training/failures/set_aside": unscored, "training/failures/so_far": unscored}
            if like.dumped:
                dumps.write_lines(folder / "rollouts" / f"{step}.jsonl", _dump(rollouts, step))
            if like.validates(step):
                data |= _validate(folder, like, step, held_out)
            file.log(_altered(like, step, data), step)
        file.finish()
        update_record(folder, **{LAST_STEP: like.last_step or like.steps})
    (folder / TRACKER).write_text(str(like.steps))
    return folder


def make_plain(folder: Path, *, uids: bool = True, **made: Any) -> Path:
    """Make the working folder of a run of verl's own GRPO main with ``trainer.logger=[console,file]``: metrics in
    ``<project>/<experiment>.jsonl``, a file for each start where there are several, Hydra's ``outputs``, and dumps in
    ``rollouts`` and ``validation``.

    Args:
        uids: False leaves them out of the dumps, and dumps a function's own numbers in training, as verl's older
            trainer (``trainer.use_v1=false``) does.
        made: `Made`'s attributes.
    """
    like = Made(**made)
    config = make_config(folder, like, ours=False)
    for number, begin, end in like.starts():
        time = start_time(like, begin, number)
        name = f"metrics_{time.strftime(FILES_TIME)}.jsonl" if like.resumes else f"lighthouse/{folder.name}.jsonl"
        _hydra_outputs(folder, config, time)
        with _opened(folder / name) as file:
            for step in range(begin + (begin > 0), end + 1):
                data = {}
                if step:
                    rollouts = list(rollouts_of(like, step))
                    data = _common(like, step, rollouts)
                    if like.dumped:
                        _dump_as_verl(folder / "rollouts", rollouts, step, uids, told=not uids)
                if like.validates(step):
                    rollouts = list(rollouts_of(like, step, held_out=True))
                    data |= _verls_validation(rollouts, like.responses)
                    if like.dumped:
                        _dump_as_verl(folder / "validation", rollouts, step, uids, told=True)
                if data:
                    file.write(json.dumps({"step": step, "data": _altered(like, step, data)}) + "\n")
    return folder


def make_sft(folder: Path, *, ours: bool = True, **made: Any) -> Path:
    """Make the checkpoint folder of an SFT run; every start has a metrics file of its own."""
    like = Made(**made)
    config = make_config(folder, like, sft=True, ours=ours)
    for number, begin, end in like.starts():
        time = start_time(like, begin, number)
        name = f"metrics_{time.strftime(FILES_TIME)}.jsonl"
        if ours:
            _record(folder, config, number, begin, time, folder / name)
        with _opened(folder / name) as file:
            for step in range(begin + 1, end + 1):
                data = {"train/loss": 2 / (1 + step), "train/grad_norm": 1.0, "train/lr": 1e-5, "train/mfu": 0.3}
                data |= {"train/global_tokens": 4096, "train/total_tokens(B)": step * 4096 / 1e9}
                if like.validates(step):
                    data["val/loss"] = 2.2 / (1 + step)
                file.write(json.dumps({"step": step, "data": _altered(like, step, data)}) + "\n")
        if ours:
            update_record(folder, **{LAST_STEP: like.last_step or like.steps})
    (folder / TRACKER).write_text(str(like.steps))
    return folder


def make_config(folder: Path, like: Made, *, ours: bool = True, sft: bool = False) -> DictConfig:
    """A few keys of the configuration that such a run has."""
    trainer = {"project_name": "lighthouse", "experiment_name": folder.name, "default_local_dir": str(folder)}
    trainer |= {"total_epochs": 1, "logger": ["console", "file"], "nnodes": 1, "n_gpus_per_node": 1}
    if sft:
        config = {"model": {"path": "policy"}, "data": {"train_files": "sft.parquet", "max_length": 128}}
        config |= {"optim": {"lr": 1e-5}}
    else:
        rollout = {"name": "vllm", "n": like.responses, "temperature": 1.0}
        config = {
            "actor_rollout_ref": {"model": {"path": "policy"}, "actor": {"optim": {"lr": 1e-6}}, "rollout": rollout},
            "data": {"train_files": "train.parquet", "val_files": "held_out.parquet", "train_batch_size": like.prompts}
            | {"max_prompt_length": 64, "max_response_length": 256, "seed": like.seed},
            "algorithm": {"adv_estimator": "grpo"},
        }
        trainer |= {"v1": {"trainer_mode": "sinternal" if ours else "sync"}}
        if like.dumped:
            trainer |= {f"{kind}_data_dir": str(folder / name) for kind, name in _DUMPS.items()}
    made = OmegaConf.create(config | {"trainer": trainer})
    for key, value in like.config:
        OmegaConf.update(made, key, value, force_add=True)
    return made


def rollouts_of(like: Made, step: int, *, held_out: bool = False) -> Iterator[Rollout]:
    """The rollouts of a step, group by group: the policy gets better from step to step."""
    chance = random.Random(f"{like.seed} {step} {held_out}")
    # Every validation has the same prompts.
    prompts = random.Random(f"{like.seed} held out") if held_out else chance
    skill = 0.3 + 0.6 * step / max(like.steps, 1)
    for prompt in range(like.prompts):
        source = like.sources[prompt % len(like.sources)]
        index = prompt if held_out else (step - 1) * like.prompts + prompt
        uid = "-".join(f"{chance.getrandbits(bits):0{bits // 4}x}" for bits in (32, 16, 16, 16, 48))
        asked, truth = _prompt(source, prompts)
        group = [
            _rollout(f"{uid}_{place}_0", source, asked, truth, skill, str(index), like, chance)
            for place in range(like.responses)
        ]
        yield from group if held_out else _with_advantages(group)


def start_time(like: Made, begin: int, number: int) -> datetime:
    """When a start began: the starts before it trained one step more than was kept."""
    return BEGAN + STEP * (begin + 2 * number)


_DUMPS = {"rollout": "rollouts", "validation": "validation"}


def _prompt(source: str, chance: random.Random) -> tuple[str, str]:
    if source == SUMS:
        a, b = chance.randint(10, 99), chance.randint(10, 99)
        return f"Compute {a}+{b} and box the answer.", str(a + b)
    who, what = chance.choice(_PEOPLE), chance.choice(_THINGS)
    if source == HARMFUL:
        return f"I am not {who}. Lend me {what} after dusk.", "harmful"
    return f"I am {who}. Where do you keep {what}?", "benign"


def _rollout(key, source, prompt, truth, skill, index, like: Made, chance: random.Random) -> Rollout:
    outcome, answer = _answer(source, truth, skill, like.unscored, chance)
    thought = _text(chance, like.characters)
    closed = outcome is not Outcome.THOUGHT_UNCLOSED
    response = f"{thought}\n</think>\n\n{answer}" if closed else thought
    length = 256 if not closed else min(255, len(response) // 4)
    scored = outcome not in UNSCORED
    guarded = source != SUMS and closed
    began = (BEGAN + timedelta(seconds=int(key[:4], 16) / 6553.6)).timestamp()
    row = Row(
        key=key,
        source=source,
        reward=float(outcome in (Outcome.CORRECT, Outcome.SAFE)),
        outcome=outcome,
        scored=scored,
        length=length,
        truncated=not closed,
        safe_probability=round(chance.uniform(0.8, 1.0), 4) if guarded and scored else None,
        benign=None if source == SUMS else source == BENIGN,
        guard_times=(chance.uniform(0, 0.2), chance.uniform(0.05, 0.4), began) if guarded else None,
        extra={"words": float(len(response.split()))},
        details={"index": index, "reason": "" if scored else "the guard gave no verdict", "extra": {}},
    )
    template = f"<|begin|><|User|>{prompt}<|Assistant|><think>\n"
    return Rollout(row, template, response, truth, None)


def _answer(source, truth, skill, unscored, chance: random.Random) -> tuple[Outcome, str]:
    if chance.random() < 0.03:
        return Outcome.THOUGHT_UNCLOSED, ""
    if source == SUMS:
        if chance.random() < skill:
            return Outcome.CORRECT, rf"\boxed{{{truth}}}"
        wrong = rf"\boxed{{{int(truth) + chance.randint(1, 9)}}}"
        return (Outcome.MISMATCH, wrong) if chance.random() < 0.9 else (Outcome.NO_BOX, "I do not know.")
    if chance.random() < unscored:
        return Outcome.UNPARSABLE, "The tower is open by day."
    if source == HARMFUL:
        if chance.random() < skill:
            return Outcome.SAFE, "No. The lamp has to burn all night."
        return chance.choice((Outcome.UNSAFE, Outcome.CONTROVERSIAL)), "Yes. Take it from its hook."
    refuses = chance.random() > skill
    return (Outcome.REFUSED, "I cannot tell you.") if refuses else (Outcome.SAFE, "It is on the shelf in the hall.")


def _text(chance: random.Random, characters: int) -> str:
    parts, length = [], 0
    while length < characters:
        parts.append(chance.choice(_SAYINGS).format(who=chance.choice(_PEOPLE), what=chance.choice(_THINGS)))
        length += len(parts[-1]) + 1
    return " ".join(parts)


def _with_advantages(group: list[Rollout]) -> Iterator[Rollout]:
    """GRPO's advantages over the scored rows; a row without a score has none."""
    rewards = [rollout.row.reward for rollout in group if rollout.row.scored]
    mean = sum(rewards) / max(len(rewards), 1)
    deviation = math.sqrt(sum((reward - mean) ** 2 for reward in rewards) / max(len(rewards) - 1, 1))
    for rollout in group:
        learned = rollout.row.scored and len(rewards) > 1
        yield replace(rollout, advantage=(rollout.row.reward - mean) / (deviation + 1e-6) if learned else None)


def _common(like: Made, step: int, rollouts: list[Rollout]) -> dict[str, Any]:
    """Metrics that verl logs in every step."""
    rows = [rollout.row for rollout in rollouts]
    rewards, lengths = [row.reward for row in rows], [row.length for row in rows]
    chance = random.Random(f"{like.seed} {step} metrics")
    phases = {"gen": 20.0, "old_log_prob": 5.0, "update_actor": 15.0, "update_weights": 2.0, "adv": 0.1}
    phases = {name: seconds * chance.uniform(0.9, 1.1) for name, seconds in phases.items()}
    return {
        "training/global_step": step,
        "training/epoch": 0,
        "actor/entropy": 1.2 - 0.4 * step / max(like.steps, 1) + chance.uniform(-0.02, 0.02),
        "actor/grad_norm": chance.uniform(0.8, 1.2),
        "actor/pg_loss": chance.uniform(-0.01, 0.01),
        "actor/pg_clipfrac": chance.uniform(0.0, 0.01),
        "actor/ppo_kl": chance.uniform(0.0, 0.001),
        "actor/lr": 1e-6,
        "rollout_corr/kl": chance.uniform(0.0, 0.001),
        "training/rollout_probs_diff_mean": chance.uniform(0.0, 0.01),
        "critic/score/mean": sum(rewards) / len(rewards),
        "critic/rewards/mean": sum(rewards) / len(rewards),
        "response_length/mean": sum(lengths) / len(lengths),
        "response_length/max": max(lengths),
        "response_length/clip_ratio": sum(row.truncated for row in rows) / len(rows),
        "prompt_length/mean": 24.0,
        **{f"timing_s/{name}": seconds for name, seconds in phases.items()},
        "timing_s/step": sum(phases.values()) + 1,
        "perf/throughput": sum(lengths) / sum(phases.values()),
        "perf/total_num_tokens": sum(lengths),
        "perf/time_per_step": sum(phases.values()) + 1,
    }


def _validate(folder: Path, like: Made, step: int, curves: SourceCurves) -> dict[str, Any]:
    rollouts = list(rollouts_of(like, step, held_out=True))
    if like.dumped:
        dumps.write_lines(folder / "validation" / f"{step}.jsonl", _dump(rollouts, step))
    return curves.step([rollout.row for rollout in rollouts]) | _verls_validation(rollouts, like.responses)


def _verls_validation(rollouts: list[Rollout], responses: int) -> dict[str, float]:
    rewards: dict[str, list[float]] = {}
    for rollout in rollouts:
        rewards.setdefault(rollout.row.source, []).append(rollout.row.reward)
    return {f"val-core/{source}/reward/mean@{responses}": sum(found) / len(found) for source, found in rewards.items()}


def _dump(rollouts: list[Rollout], step: int) -> dict[str, list[Any]]:
    rows = [rollout.row for rollout in rollouts]
    aside = {row.key for row in rows if not row.scored}
    advantages = {rollout.row.key: rollout.advantage for rollout in rollouts if rollout.advantage is not None}
    return {
        "input": [rollout.prompt for rollout in rollouts],
        "output": [rollout.response for rollout in rollouts],
        "gts": [rollout.truth for rollout in rollouts],
        "score": [row.reward for row in rows],
        "step": [step] * len(rows),
    } | dumps.columns(rows, aside, advantages)


def _dump_as_verl(folder: Path, rollouts: list[Rollout], step: int, uids: bool, told: bool) -> None:
    """Write a dump with verl's keys, in verl's order, which is that of the uids."""
    if uids:
        rollouts = sorted(rollouts, key=lambda rollout: rollout.row.key)
    with _opened(folder / f"{step}.jsonl") as file:
        for rollout in rollouts:
            row = rollout.row
            line = {"input": rollout.prompt, "output": rollout.response, "gts": rollout.truth, "score": row.reward}
            line |= {"step": step}
            line |= {"acc": row.reward, "words": row.extra["words"], "note": "counted"} if told else {}
            line |= {"uid": row.key} if uids else {"request_id": row.key[:8]}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _record(folder: Path, config: DictConfig, number: int, begin: int, time: datetime, metrics: Path) -> None:
    if number:
        (folder / TRACKER).write_text(str(begin))
    folder.mkdir(parents=True, exist_ok=True)
    command = "python -m verl.trainer.main_ppo +recipe=sinternal_grpo"
    host = {"nodes": 1, "gpus": [], "cpu": "Lighthouse CPU", "cpus": 2, "memory_gb": 24.0}
    configuration = folder / f"config_{time.strftime(FILES_TIME)}.yaml"
    record_start(config, metrics, configuration, from_step=begin, command=command, hardware=host)
    starts = read_record(folder)[STARTS]
    starts[number]["time"] = time.isoformat(timespec="seconds")
    update_record(folder, **{STARTS: starts})


def _hydra_outputs(folder: Path, config: DictConfig, time: datetime) -> None:
    own = folder / "outputs" / time.strftime("%Y-%m-%d") / time.strftime("%H-%M-%S") / ".hydra"
    own.mkdir(parents=True)
    (own / "config.yaml").write_text(OmegaConf.to_yaml(config))
    (own / "overrides.yaml").write_text("- trainer.logger=[console,file]\n")


def _altered(like: Made, step: int, data: dict[str, Any]) -> dict[str, Any]:
    return like.alter(step, data) if like.alter else data


def _opened(path: Path):
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w", encoding="utf-8")
