"""verl's own checkpoint handler and torchdata's own loader, over two epochs that are cut at every step; only
the engine, which holds no data, is a fake."""

import json
from types import SimpleNamespace

import pytest
from torch.utils.data import DistributedSampler
from torchdata.stateful_dataloader import StatefulDataLoader
from verl.utils.checkpoint.checkpoint_handler import CheckpointHandler, OrchestrationMode

from sinternal_verl.runs import ending
from sinternal_verl.runs.record import LAST_STEP, RECORD
from sinternal_verl.training import sft_resume

EPOCHS, STEPS_PER_EPOCH = 2, 3
ROWS = 2 * (4 * STEPS_PER_EPOCH) + 3
"""On two processes three batches of four each, and a remainder that verl drops."""


class Trainer:
    """The loop of verl's SFTTrainer, less the model. (verl 0.9.1, ``sft_trainer.py``)"""

    def __init__(self, folder, workers: int) -> None:
        self.sampler = DistributedSampler(range(ROWS), shuffle=True, num_replicas=2, rank=1, drop_last=True)
        self.loader = StatefulDataLoader(
            range(ROWS), batch_size=4, sampler=self.sampler, num_workers=workers, drop_last=True
        )
        self.handler = CheckpointHandler(
            SimpleNamespace(save_checkpoint=lambda **kwargs: None, load_checkpoint=lambda path: None),
            self.loader,
            default_local_dir=str(folder),
            mode=OrchestrationMode.RAY,
        )
        self.step = self.handler.load_checkpoint()

    def train(self, until: int | None = None) -> dict[int, list[int]]:
        """The rows of each step; the run ends behind the checkpoint of step ``until``."""
        rows = {}
        for epoch in range(self.step // len(self.loader), EPOCHS):
            self.sampler.set_epoch(epoch)
            for batch in self.loader:
                self.step += 1
                rows[self.step] = batch.tolist()
                if until == self.step:
                    self.handler.save_checkpoint(self.step)
                    return rows
        return rows


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("until", range(1, EPOCHS * STEPS_PER_EPOCH + 1))
def test_a_resumed_run_sees_the_rows_that_one_without_a_break_would(tmp_path, workers, until):
    whole = Trainer(tmp_path / "whole", workers).train()
    assert list(whole) == list(range(1, EPOCHS * STEPS_PER_EPOCH + 1))

    before = Trainer(tmp_path / "cut", workers).train(until)
    after = Trainer(tmp_path / "cut", workers).train()

    assert before | after == whole
    assert len(before) + len(after) == len(whole)


def test_verl_alone_still_loses_the_epoch(tmp_path, monkeypatch):
    """When this fails, verl has its fix: see what is left of the module that is tested here."""
    monkeypatch.setattr(
        CheckpointHandler, "_load_dataloader_state", CheckpointHandler._load_dataloader_state.__wrapped__
    )
    Trainer(tmp_path, 0).train(until=STEPS_PER_EPOCH)

    assert Trainer(tmp_path, 0).train() == {}


@pytest.mark.parametrize(("saved", "now"), [(0, 2), (2, 0), (2, 1)])
def test_another_number_of_workers_goes_on_at_an_epochs_end_and_is_refused_within_one(tmp_path, saved, now):
    Trainer(tmp_path / "end", saved).train(until=STEPS_PER_EPOCH)
    Trainer(tmp_path / "within", saved).train(until=1)

    assert len(Trainer(tmp_path / "end", now).train()) == STEPS_PER_EPOCH
    with pytest.raises(ValueError, match=rf"data.num_workers={now}: .*give data.num_workers={saved}$"):
        Trainer(tmp_path / "within", now)


@pytest.mark.parametrize(
    ("total_steps", "saved", "done"), [(None, 3, False), (None, 6, True), (3, 3, True), (4, 4, True), (4, 3, False)]
)
def test_the_last_step_is_on_record_and_a_run_that_has_reached_it_trains_no_more(
    tmp_path, monkeypatch, total_steps, saved, done
):
    Trainer(tmp_path, 0).train(until=saved)
    monkeypatch.setattr(ending, "_run", ending.Run(folder=tmp_path, epochs=EPOCHS, total_steps=total_steps))
    monkeypatch.setattr(ending, "_counts_steps", False)
    monkeypatch.setattr(sft_resume, "end_run", lambda error: None)
    if done:
        with pytest.raises(SystemExit) as ended:
            Trainer(tmp_path, 0)
        assert ended.value.code == 0
    else:
        assert len(Trainer(tmp_path, 0).train()) == EPOCHS * STEPS_PER_EPOCH - saved
    assert json.loads((tmp_path / RECORD).read_text())[LAST_STEP] == (total_steps or EPOCHS * STEPS_PER_EPOCH)
