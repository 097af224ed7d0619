"""What verl's own code writes is read: its file logger and the dumps of both of its trainers. (verl 0.9.1)"""

import numpy as np
import pytest

from sinternal_verl.report.read import read_run


@pytest.fixture(params=["v1", "older"])
def write_generations(request):
    from verl.trainer.ppo.ray_trainer import RayPPOTrainer
    from verl.trainer.ppo.v1.trainer_base import PPOTrainer

    return {"v1": PPOTrainer, "older": RayPPOTrainer}[request.param]._write_generations


def test_the_file_loggers_file_is_found_and_read(tmp_path, monkeypatch):
    from verl.utils.tracking import FileLogger

    monkeypatch.delenv("VERL_FILE_LOGGER_PATH", raising=False)
    monkeypatch.setenv("VERL_FILE_LOGGER_ROOT", str(tmp_path))
    for first in (1, 3):  # the second start empties the file
        logger = FileLogger("lighthouse", "run a")
        for step in range(first, first + 3):
            logger.log({"actor/entropy": np.float32(0.5), "actor/grad_norm": float("nan"), "text": "x"}, step)
        logger.finish()
    run = read_run(tmp_path)

    assert run.steps.numbers.tolist() == [3, 4, 5] and run.steps.values["actor/entropy"].tolist() == [0.5] * 3
    assert run.steps.not_finite == {"actor/grad_norm": (3, 4, 5)}
    assert run.lacks[0].startswith("no metrics of the steps up to 2: ")


def test_the_dumps_of_both_trainers_are_read(tmp_path, write_generations):
    extras = {"acc": [np.float32(1), np.bool_(False)], "note": ["é", None], "reward": [1.0, 0.0]}
    extras |= {"uid": ["u_0_0", "u_1_0"], "short": [1]}
    texts = {"inputs": ["1+1?"] * 2, "outputs": ["a</think>2", "\u2028"], "gts": ["2", None]}
    write_generations(
        **texts,
        scores=[1.0, float("nan")],
        reward_extra_infos_dict=extras,
        dump_path=str(tmp_path / "rollouts"),
        global_steps=7,
    )
    found = read_run(tmp_path).rollouts

    assert found.step.tolist() == [7, 7] and found.group.tolist() == [0, 0]
    assert found.score[0] == 1 and np.isnan(found.score[1])
    # The older trainer writes numpy's numbers as texts.
    assert set(found.extra) == {"acc"} and found.extra["acc"].tolist() == [1, 0]
    assert (found.texts[0].thought, found.texts[0].answer, found.texts[0].truth) == ("a", "2", "2")
    assert found.texts[0].extra["note"] and found.texts[1].answer == "\u2028"
