"""verl's SFT main with our CPU recipe on two processes, and the model it leaves."""

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from sinternal_verl.demo.settings import sft_overrides
from sinternal_verl.runs.launch import run_main, sft_command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_two_processes_learn_and_leave_a_model_transformers_loads(world, tmp_path):
    steps = run_main(
        sft_command(*sft_overrides(tmp_path / "sft", world["policy"], world["sft"], seed=1, steps=12), processes=2),
        log=tmp_path / "sft.log",
        metrics=tmp_path / "sft.jsonl",
        limit_s=300,
    )
    taught = tmp_path / "sft" / "global_step_12" / "huggingface"
    before, after = (AutoModelForCausalLM.from_pretrained(path) for path in (world["policy"], taught))

    assert [step.number for step in steps] == list(range(1, 13))
    assert steps[-1].metrics["train/loss"] < 0.8 * steps[0].metrics["train/loss"]
    assert any((a != b).any() for a, b in zip(before.parameters(), after.parameters(), strict=True))
    assert AutoTokenizer.from_pretrained(taught).chat_template


def test_two_runs_of_an_adapter_with_one_seed_are_alike(world, tmp_path):
    def losses(name: str, seed: int) -> list[float]:
        command = sft_command(
            *sft_overrides(tmp_path / name, world["policy"], world["sft"], seed=seed, steps=3),
            "model.lora_rank=8",
            "trainer.save_freq=-1",
        )
        steps = run_main(command, tmp_path / f"{name}.log", tmp_path / f"{name}.jsonl", limit_s=200)
        return [step.metrics["train/loss"] for step in steps]

    first, again, other = losses("first", 1), losses("again", 1), losses("other", 2)

    assert first == pytest.approx(again, rel=1e-5)
    assert first != pytest.approx(other, rel=1e-5)
