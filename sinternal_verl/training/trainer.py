"""verl's trainers, extended by a mixin: what the reward manager reports becomes curves, and a failed reward
does to training what the configuration says.

The mixin's methods, in the order in which a step runs through them:

1. `_submit_batch_to_rollout` remembers the order of the prompts.
2. The replay buffer waits for the rollouts; it polls often and not for ever (`waiting`).
3. `_balance_batch` reads the rows, puts them in the order of their prompts (verl leaves them in the order of
   arrival, which differs from run to run), and applies the failure policy (`failures`).
4. `_compute_advantage` gives an advantage of 0 to the rows that the failure policy sets aside.
5. `_compute_metrics` adds curves per data source (`source_curves`); `_log_rollout_data` dumps every rollout (`dumps`).

A validation: `held_out`.

Use: ``trainer.v1.trainer_mode=sinternal``; settings under ``sinternal``.

The plugin imports this module as soon as verl's trainers are imported. So no module that is imported here at the top
may import them: where it came first, it would be half loaded here.
"""

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import ray
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
from sinternal_verl.runs.record import CLUSTER, LAST_STEP, checkpoint_folder, cluster_of, update_record
from sinternal_verl.runs.start import say_up
from sinternal_verl.runs.tracking import FlushTensorBoard, write_beside
from sinternal_verl.training import dumps
from sinternal_verl.training.failures import FailurePolicy
from sinternal_verl.training.guard_curves import GuardCurves
from sinternal_verl.training.held_out import HeldOut
from sinternal_verl.training.loader_state import check_workers
from sinternal_verl.training.metrics_file import METRICS_FILE, MetricsFile
from sinternal_verl.training.queue import read_advantages, read_rows, write_fields
from sinternal_verl.training.rollouts import Row
from sinternal_verl.training.source_curves import SourceCurves
from sinternal_verl.training.start_together import StartTogether

ROLLOUT_N = "__rollout_n__"
"""verl's column of a prompt that asks for another number of responses than ``rollout.n``. (verl 0.9.1)"""


class EndedEarly(RuntimeError):
    """The run ran out of rows before its last step."""


class SInternalMixin(HeldOut, StartTogether):
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
        self._curves = SourceCurves("train")
        self._guard_curves = GuardCurves()
        self._source_key = config.data.get("reward_fn_key", "data_source")
        self._order: dict[str, int] = {}
        self._sources: dict[str, str] = {}
        self._asked: dict[str, int] = {}
        self._submitted = 0
        self._rows: list[Row] = []
        self._missing: Counter[str] = Counter()
        self._set_aside: set[str] = set()
        self._dropped: list[str] = []

    def _build_replay_buffer(self):
        from sinternal_verl.training.waiting import bound_the_wait

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
        cluster = cluster_of(ray.nodes()) if ray.is_initialized() else []
        update_record(folder, **{LAST_STEP: self.total_training_steps, CLUSTER: cluster})
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
        self._rows, self._missing, self._set_aside, self._dropped = [], Counter(), set(), []
        if self.trainer_mode == "sync":
            self._order.clear()  # what is left of the last step was filtered out
            self._sources.clear()
            self._asked.clear()
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
        self._sources |= dict(zip(list(batch["uid"]), map(str, list(batch[self._source_key])), strict=True))
        if ROLLOUT_N in batch:
            self._asked |= dict(zip(list(batch["uid"]), map(int, list(batch[ROLLOUT_N])), strict=True))
        self._submitted += len(batch)
        return super()._submit_batch_to_rollout(batch)

    def _balance_batch(self, batch: KVBatchMeta, metrics: dict, **kwargs) -> KVBatchMeta:
        with marked_timer("sinternal", self.timing_raw):
            batch = self._in_order(batch)
            rows = read_rows(batch, self._source_key, self.config.data.max_response_length)
            responses = self.config.actor_rollout_ref.rollout.n
            self._rows += rows
            self._missing.update(self._failures.check(rows, self._take_expected(rows, responses)))
            aside = self._failures.set_aside(rows, responses)
            if self._failures.policy == "drop" and aside:
                self._dropped += [key for key in batch.keys if key in aside]
                batch = batch.select_keys([key for key in batch.keys if key not in aside])
            self._set_aside |= aside
        return super()._balance_batch(batch, metrics, **kwargs)

    def _take_expected(self, rows: list[Row], responses: int) -> Counter[str]:
        """By source, how many responses this batch was to have. A sync step waits for all of its prompts, those that
        came to nothing included; an async one has replaced these."""
        groups = {row.group: row.source for row in rows}
        prompts = self._sources | groups if self.trainer_mode == "sync" else groups
        expected: Counter[str] = Counter()
        for group, source in prompts.items():
            self._sources.pop(group, None)
            expected[source] += self._asked.pop(group, responses)
        return expected

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
        metrics |= self._curves.step(self._rows, self._missing) | self._guard_curves.step(self._rows)
        metrics |= {
            "training/failures/missing": self._missing.total(),
            "training/failures/unscored": sum(not row.scored for row in self._rows),
            "training/failures/set_aside": len(self._set_aside),
            "training/failures/so_far": self._failures.failed,
            "training/failures/dumps": len(self._failed_dumps),
        }
        self._warn_of_open_thoughts("step", self._rows)

    def _log_rollout_data(self, batch: KVBatchMeta, timing_raw: dict, rollout_data_dir: str) -> None:
        """Dump every rollout of the step, dropped ones included and padding left out."""
        with marked_timer("dump_rollout_generations", timing_raw):
            keys = [row.key for row in self._rows]
            fields = ["prompts", "responses", "reward_model", "index"]
            data = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=fields)
            dropped = set(self._dropped)
            learned = [key for key in keys if key not in dropped]
            advantages = read_advantages(learned, batch.partition_id)
            super()._dump_generations(
                # Decoded in verl's thread for dumps, while the next step begins.
                inputs=data["prompts"].unbind(),
                outputs=data["responses"].unbind(),
                gts=[(truth or {}).get("ground_truth") for truth in list(data["reward_model"])],
                scores=[row.reward for row in self._rows],
                reward_extra_infos_dict=dumps.columns(self._rows, self._set_aside, advantages)
                | {"index": list(data["index"])},
                dump_path=rollout_data_dir,
            )


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
