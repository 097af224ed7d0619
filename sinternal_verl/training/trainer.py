"""verl's trainers, extended by a mixin: what the reward manager reports becomes curves, and a failed reward
does to training what the configuration says.

The mixin's methods, in the order in which a step runs through them:

1. `_submit_batch_to_rollout` remembers the order of the prompts.
2. The replay buffer waits for the rollouts; it polls often and not for ever (`waiting`).
3. `_balance_batch` reads the rows, puts them in the order of their prompts (verl leaves them in the order of
   arrival, which differs from run to run), and applies the failure policy (`failures`).
4. `_compute_advantage` gives an advantage of 0 to the rows that the failure policy sets aside.
5. `_compute_metrics` adds curves per data source (`source_curves`); `_log_rollout_data` dumps every rollout.

Use: ``trainer.v1.trainer_mode=sinternal``; settings under ``sinternal``.
"""

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import torch
import transfer_queue as tq
from omegaconf import DictConfig, OmegaConf, open_dict
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.experimental.agent_loop import AgentLoopManager
from verl.trainer.ppo.v1.trainer_base import register_trainer
from verl.trainer.ppo.v1.trainer_colocate_async import PPOTrainerColocateAsync
from verl.trainer.ppo.v1.trainer_separate_async import PPOTrainerSeparateAsync
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils.debug import marked_timer

from sinternal_verl.runs.ending import NO_MORE_BATCHES
from sinternal_verl.runs.record import LAST_STEP, checkpoint_folder, update_record
from sinternal_verl.runs.start import say_up
from sinternal_verl.runs.tracking import FlushTensorBoard, write_beside
from sinternal_verl.scoring.score import GUARD_NUMBERS
from sinternal_verl.training.failures import FailurePolicy
from sinternal_verl.training.guard_curves import GuardCurves
from sinternal_verl.training.loader_state import check_workers
from sinternal_verl.training.metrics_file import METRICS_FILE, MetricsFile
from sinternal_verl.training.queue import read_rows, write_fields
from sinternal_verl.training.rollouts import Row, make_row
from sinternal_verl.training.source_curves import SourceCurves
from sinternal_verl.training.start_together import StartTogether
from sinternal_verl.training.waiting import bound_the_wait

OWN_INFO = ("score", "outcome", "scored", *GUARD_NUMBERS)
"""What our manager reports of each sample; the curves show it, so verl need not."""


class EndedEarly(RuntimeError):
    """The run ran out of rows before its last step."""


class SInternalMixin(StartTogether):
    """Put before one of verl's v1 trainers; ``MODE`` is that trainer's own name."""

    MODE: str

    def __init__(self, config: DictConfig) -> None:
        # verl compares the name of the mode in many places. Under a name of ours the sync trainer would get
        # the async replay buffer and batches of one prompt, so verl's own name is put back.
        with open_dict(config):
            config.trainer.v1.trainer_mode = self.MODE
        super().__init__(config)
        settings = OmegaConf.select(config, "sinternal.failures", default={})
        self._failures = FailurePolicy(**settings)
        self._curves, self._held_out_curves = SourceCurves("train"), SourceCurves("val")
        self._guard_curves = GuardCurves()
        self._source_key = config.data.get("reward_fn_key", "data_source")
        self._order: dict[str, int] = {}
        self._submitted = 0
        self._rows: list[Row] = []
        self._missing = 0
        self._set_aside: set[str] = set()
        self._dropped: list[str] = []

    def _build_replay_buffer(self):
        wait = OmegaConf.select(self.config, "sinternal.rollout", default={})
        buffer = super()._build_replay_buffer()
        first = partial(say_up, "first rollout")
        return bound_the_wait(buffer, wait.get("poll_s", 0.05), wait.get("no_progress_s", 1800.0), first)

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()
        if state := self.train_dataloader.next_iter_state:
            step = f"the checkpoint of step {self.global_steps}"
            check_workers(state, self.train_dataloader.num_workers, "data.dataloader_num_workers", step)
        folder = Path(self.config.trainer.default_local_dir)
        self._metrics_file = MetricsFile(folder / METRICS_FILE, done=self.global_steps)
        update_record(folder, **{LAST_STEP: self.total_training_steps})
        if own := checkpoint_folder(self.config):
            write_beside(self.config, own, done=self.global_steps)

    def fit(self, agent_loop_manager: AgentLoopManager) -> None:
        """verl's loop.

        Raises:
            EndedEarly: the loop ended before the last step, which verl does not report.
            GuardUnavailable: see `StartTogether`.
        """
        super().fit(agent_loop_manager)
        # After the last step verl's counter stands one above it.
        if not self.config.trainer.get("val_only", False) and self.global_steps <= self.total_training_steps:
            raise EndedEarly(f"step {self.global_steps - 1} of {self.total_training_steps}: {NO_MORE_BATCHES}")

    # ------------------------------------------------------------------ verl's hooks

    def on_validate_begin(self) -> None:
        self._log_to_file()
        super().on_validate_begin()

    def on_train_begin(self) -> None:
        self._log_to_file()
        super().on_train_begin()

    def on_step_begin(self) -> None:
        if self._dropped:
            tq.kv_clear(keys=self._dropped, partition_id="train")
        self._rows, self._missing, self._set_aside, self._dropped = [], 0, set(), []
        if self.trainer_mode == "sync":
            self._order.clear()  # what is left of the last step was filtered out
        super().on_step_begin()

    def _log_to_file(self) -> None:
        """Add the metrics file to the backends of verl's tracking, which gets every step that verl logs."""
        backends = self.logger.logger
        backends["sinternal"] = self._metrics_file
        if "tensorboard" in backends:
            backends["sinternal_flush"] = FlushTensorBoard(backends["tensorboard"])

    # ------------------------------------------------------------------ one step

    def _submit_batch_to_rollout(self, batch: TensorDict) -> int:
        self._order |= {uid: self._submitted + place for place, uid in enumerate(list(batch["uid"]))}
        self._submitted += len(batch)
        return super()._submit_batch_to_rollout(batch)

    def _balance_batch(self, batch: KVBatchMeta, metrics: dict, **kwargs) -> KVBatchMeta:
        with marked_timer("sinternal", self.timing_raw):
            batch = self._in_order(batch)
            rows = read_rows(batch, self._source_key, self.config.data.max_response_length)
            responses = self.config.actor_rollout_ref.rollout.n
            expected = self.config.data.train_batch_size // self.parameter_sync_step * responses
            self._rows += rows
            self._missing += self._failures.check(rows, expected)
            aside = self._failures.set_aside(rows, responses)
            if self._failures.policy == "drop" and aside:
                self._dropped += [key for key in batch.keys if key in aside]
                batch = batch.select_keys([key for key in batch.keys if key not in aside])
            self._set_aside |= aside
        return super()._balance_batch(batch, metrics, **kwargs)

    def _in_order(self, batch: KVBatchMeta) -> KVBatchMeta:
        def place(key: str) -> tuple[int, int, int]:
            uid, session, output = key.rsplit("_", 2)
            return self._order.get(uid, self._submitted), int(session), int(output)

        ordered = batch.select_keys(sorted(batch.keys, key=place))
        for uid in {key.rsplit("_", 2)[0] for key in batch.keys}:
            self._order.pop(uid, None)
        return ordered

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict) -> KVBatchMeta:
        aside = [key for key in batch.keys if key in self._set_aside]
        if not aside:
            return super()._compute_advantage(batch, metrics)
        # Each such row gets a group of its own, so that it counts in no other group. Its advantage is then set
        # to 0, whatever the estimator makes of a group of one.
        write_fields(batch, aside, uid=np.array([f"{key}_set_aside" for key in aside], dtype=object))
        batch = super()._compute_advantage(batch, metrics)
        uids = np.array([key.rsplit("_", 2)[0] for key in aside], dtype=object)
        masks = tq.kv_batch_get(keys=aside, partition_id=batch.partition_id, select_fields=["response_mask"])
        nothing = torch.nested.as_nested_tensor(
            [torch.zeros(len(mask)) for mask in masks["response_mask"].unbind()], layout=torch.jagged
        )
        write_fields(batch, aside, uid=uids, advantages=nothing, returns=nothing)
        return batch

    # ------------------------------------------------------------------ what is shown

    def _compute_metrics(self, batch: KVBatchMeta, metrics: dict, timing_raw: dict, **step) -> None:
        super()._compute_metrics(batch, metrics, timing_raw, **step)
        metrics |= self._curves.step(self._rows) | self._guard_curves.step(self._rows)
        metrics |= {
            "training/failures/missing": self._missing,
            "training/failures/unscored": sum(not row.scored for row in self._rows),
            "training/failures/set_aside": len(self._set_aside),
            "training/failures/so_far": self._failures.failed,
        }

    def _log_rollout_data(self, batch: KVBatchMeta, timing_raw: dict, rollout_data_dir: str) -> None:
        """Dump every rollout of the step, dropped ones included and padding left out."""
        with marked_timer("dump_rollout_generations", timing_raw):
            keys = [row.key for row in self._rows]
            fields = ["prompts", "responses", "reward_model", "index"]
            data = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=fields)
            self._dump_generations(
                inputs=[self.tokenizer.decode(ids) for ids in data["prompts"].unbind()],
                outputs=[self.tokenizer.decode(ids) for ids in data["responses"].unbind()],
                gts=[(truth or {}).get("ground_truth") for truth in list(data["reward_model"])],
                scores=[row.reward for row in self._rows],
                reward_extra_infos_dict={
                    "uid": keys,
                    "data_source": [row.source for row in self._rows],
                    "index": list(data["index"]),
                    "outcome": [row.outcome.name.lower() for row in self._rows],
                    "scored": [row.scored for row in self._rows],
                    "set_aside": [row.key in self._set_aside for row in self._rows],
                    "truncated": [row.truncated for row in self._rows],
                    "response_length": [row.length for row in self._rows],
                    "cut": [row.cut for row in self._rows],
                    "safe_probability": [row.safe_probability for row in self._rows],
                    "extra": [{k: v for k, v in row.extra.items() if k not in OWN_INFO} for row in self._rows],
                },
                dump_path=rollout_data_dir,
            )

    def _val_metrics_update(
        self, data_sources, sample_uids, reward_extra_infos_dict, sample_turns, expected_acc_counts=None
    ) -> dict:
        """Our metrics per source over the scored rows, and verl's own validation metrics without the rows that
        have no score: verl would take a failed judge's 0 for a wrong answer. verl also bootstraps every extra
        number, so those that our own metrics show are kept from it."""
        infos = dict(reward_extra_infos_dict)
        rewards = infos["reward"]
        own = {name: infos.pop(name) for name in OWN_INFO if name in infos}
        rows = [
            make_row(str(place), source, reward, {name: values[place] for name, values in own.items()})
            for place, (source, reward) in enumerate(zip(data_sources, rewards, strict=True))
        ]
        # verl's best and worst of n need all n, so a prompt with a failure counts only in our metrics.
        incomplete = {uid for uid, row in zip(sample_uids, rows, strict=True) if not row.scored}
        infos = {
            name: [None if uid in incomplete else value for uid, value in zip(sample_uids, values, strict=True)]
            for name, values in infos.items()
        }
        expected = expected_acc_counts or {}
        complete = {place: count for place, count in expected.items() if place[1] not in incomplete}
        metrics = super()._val_metrics_update(data_sources, sample_uids, infos, sample_turns, complete)
        missing: Counter[str] = Counter()
        for (source, _), responses in expected.items():
            missing[f"val/{source}/missing"] += responses
        missing.subtract(f"val/{source}/missing" for source in data_sources)
        return metrics | self._held_out_curves.step(rows) | missing


@register_trainer("sinternal")
class SInternalTrainer(SInternalMixin, PPOTrainerSync):
    """verl's sync trainer."""

    MODE = "sync"


@register_trainer("sinternal_colocate_async")
class SInternalTrainerColocateAsync(SInternalMixin, PPOTrainerColocateAsync):
    """verl's colocated async trainer."""

    MODE = "colocate_async"


@register_trainer("sinternal_separate_async")
class SInternalTrainerSeparateAsync(SInternalMixin, PPOTrainerSeparateAsync):
    """verl's separate async trainer."""

    MODE = "separate_async"
