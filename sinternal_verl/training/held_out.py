"""A validation in our trainers: the curves and the dumps of a training step, and verl's own metrics over the rows that
have a score.

1. Each row carries a mark by which the reward worker knows it (`wire.VALIDATION`).
2. `_dump_generations` keeps what verl would dump, until the sources of the prompts are known.
3. `_val_metrics_update` makes the curves, completes the dump, and ends the run where a judge is dead.
"""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sinternal_verl.scoring.open_thoughts import find_open_thoughts
from sinternal_verl.scoring.score import Outcome
from sinternal_verl.training import dumps
from sinternal_verl.training.failures import FailurePolicy
from sinternal_verl.training.rollouts import Row, make_row
from sinternal_verl.training.source_curves import SourceCurves
from sinternal_verl.training.wire import OWN_NAMES, VOTE, MarkValidation


class HeldOut:
    """Put before one of verl's v1 trainers, and behind what sets ``_failures``."""

    _failures: FailurePolicy

    def __init__(self, config: DictConfig) -> None:
        super().__init__(config)
        self._held_out_curves = SourceCurves("val")
        self._validating = False
        self._held_out_dump: dict[str, Any] = {}
        self._failed_dumps: list[int] = []
        self._before_first = {"step", "validation"}

    def _init_dataloader(self) -> None:
        super()._init_dataloader()
        self.val_dataloader.collate_fn = MarkValidation(self.val_dataloader.collate_fn)

    def _warn_of_open_thoughts(self, what: str, rows: list[Row]) -> None:
        """Print a warning after the first step, or the first validation, of this start."""
        if what not in self._before_first:
            return
        self._before_first.discard(what)
        outcomes: defaultdict[str, Counter[Outcome]] = defaultdict(Counter)
        for row in rows:
            outcomes[row.source][row.outcome] += 1
        for found in find_open_thoughts(outcomes, OmegaConf.select(self.config, "sinternal.scorers")):
            print(
                f"sinternal_verl: warning: the first {what}: {found} (data.max_response_length)\n", end="", flush=True
            )

    def _validate(self) -> dict:
        self._validating = True
        try:
            return super()._validate()
        finally:
            self._validating = False

    def _dump_generations(self, **dump: Any) -> None:
        # verl dumps a validation before it says of which source each prompt is: `_val_metrics_update` completes it.
        if self._validating:
            self._held_out_dump = dump
        else:
            super()._dump_generations(**dump)

    def _write_generations(
        self, inputs, outputs, gts, scores, reward_extra_infos_dict, dump_path, global_steps
    ) -> None:
        """Runs in verl's thread for dumps. A dump that cannot be written is counted and does not end the run: verl
        would raise the error in a later step."""
        path = Path(dump_path) / f"{global_steps}.jsonl"
        texts = {name: dumps.texts_of(ids, self.tokenizer) for name, ids in (("input", inputs), ("output", outputs))}
        first = texts | {"gts": gts, "score": scores, "step": [global_steps] * len(inputs)}
        try:
            dumps.write_lines(path, first | reward_extra_infos_dict)
        except OSError as error:
            self._failed_dumps.append(global_steps)
            said = f"{path} cannot be written: {error}; the run goes on, and the report will lack these rollouts"
            print(f"sinternal_verl: warning: {said}\n", end="", flush=True)

    def _val_metrics_update(
        self, data_sources, sample_uids, reward_extra_infos_dict, sample_turns, expected_acc_counts=None
    ) -> dict:
        """Our metrics per source over the scored rows, and verl's own validation metrics without the rows that
        have no score: verl would take a failed judge's 0 for a wrong answer. verl also bootstraps every extra
        number, so those that our own metrics show are kept from it.

        Raises:
            TooManyFailures: it is the first validation, and nothing of a source has a score.
        """
        infos = dict(reward_extra_infos_dict)
        rewards = infos["reward"]
        sessions = [f"{uid}_{place}_0" for place, uid in enumerate(sample_uids)]
        rows = self._make_rows(sessions, data_sources, rewards, infos)
        self._complete_dump(dict(zip(sample_uids, data_sources, strict=True)))
        expected = expected_acc_counts or {}
        asked: Counter[str] = Counter()
        for (source, _), responses in expected.items():
            asked[source] += responses
        if "validation" in self._before_first:
            self._warn_of_open_thoughts("validation", rows)
            self._failures.check_held_out(rows, asked)
        infos = {name: values for name, values in infos.items() if name not in OWN_NAMES}
        if VOTE in infos:
            # verl counts no votes for a prompt of which a response has none: that response votes for nothing.
            voting = {source for source, vote in zip(data_sources, infos[VOTE], strict=True) if vote is not None}
            infos[VOTE] = [
                "" if vote is None and source in voting else vote
                for source, vote in zip(data_sources, infos[VOTE], strict=True)
            ]
        # verl's best and worst of n need all n, so a prompt with a failure counts only in our metrics.
        incomplete = {uid for uid, row in zip(sample_uids, rows, strict=True) if not row.scored}
        infos = {
            name: [None if uid in incomplete else value for uid, value in zip(sample_uids, values, strict=True)]
            for name, values in infos.items()
        }
        complete = {place: count for place, count in expected.items() if place[1] not in incomplete}
        metrics = super()._val_metrics_update(data_sources, sample_uids, infos, sample_turns, complete)
        missing = asked - Counter(map(str, data_sources))
        return metrics | self._held_out_curves.step(rows, {source: missing[source] for source in asked})

    def _make_rows(self, keys, sources, rewards, infos: dict[str, list]) -> list[Row]:
        """Rows of a validation, from verl's columns."""
        longest = self.config.data.max_response_length
        own = {name: values for name, values in infos.items() if name not in ("reward", "uid")}
        return [
            make_row(key, source, reward, {name: values[place] for name, values in own.items()}, longest=longest)
            for place, (key, source, reward) in enumerate(zip(keys, sources, rewards, strict=True))
        ]

    def _complete_dump(self, source_of: dict[str, str]) -> None:
        """Dump the validation that verl has dumped, with the keys of a training dump."""
        dump, self._held_out_dump = self._held_out_dump, {}
        if dump:
            infos = dump["reward_extra_infos_dict"]
            keys = infos["uid"]
            sources = [source_of[key.rsplit("_", 2)[0]] for key in keys]
            rows = self._make_rows(keys, sources, dump["scores"], infos)
            super()._dump_generations(**dump | {"reward_extra_infos_dict": dumps.columns(rows)})
