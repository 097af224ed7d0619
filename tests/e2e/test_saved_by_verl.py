"""Checkpoints that verl's own checkpoint manager writes on several ranks are exported as they were trained: FSDP1 and
FSDP2, on one mesh and on replicas of it (HSDP), trained whole and with an adapter."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import export_readers
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from sinternal_verl.commands.export import export
from sinternal_verl.overrides import override
from sinternal_verl.runs.launch import end_session, run_main, sft_command, tail
from sinternal_verl.world import arithmetic
from sinternal_verl.world.policy_model import make_policy

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.versions, pytest.mark.timeout(900)]

LIMIT_S = 400
ENGINE = Path(__file__).with_name("saving_engine.py")
WHOLE = "whole.pt"
"""What that engine leaves in a run's folder."""

ENGINES = {"fsdp1": "fsdp", "fsdp2": "fsdp2"}
MESHES = {"one": (1, -1), "two": (2, -1), "four": (4, -1), "hsdp": (4, 2)}
"""Number of processes and ``fsdp_size``."""

TRAINED = {
    "whole": ["model.lora_rank=0"],
    "lora": ["model.lora_rank=4", "model.lora_alpha=8"],
    "lora_alone": ["model.lora_rank=4", "model.lora_alpha=8", "+checkpoint.save_lora_only=true"],
}
RUNS = [
    f"{engine}-{mesh}-{trained}"
    for engine in ENGINES
    for mesh in MESHES
    for trained in TRAINED
    if trained != "lora_alone" or mesh == "hsdp"
]


@dataclass(frozen=True)
class Place:
    folder: Path
    base: Path
    data: Path

    def words(self, run: str) -> list[str]:
        """The words of a run for verl's SFT main."""
        engine, mesh, trained = run.split("-")
        return [
            "+recipe=sinternal_sft_cpu",
            f"engine.strategy={ENGINES[engine]}",
            f"engine.fsdp_size={MESHES[mesh][1]}",
            *TRAINED[trained],
            override("model.path", self.base),
            override("data.train_files", self.data),
            "data.train_batch_size=8",
            "data.max_length=128",
            "optim.lr=1e-2",
            "trainer.total_training_steps=2",
            "trainer.save_freq=2",
            "trainer.logger=[console]",
            override("trainer.default_local_dir", self.folder / run),
        ]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    folder = tmp_path_factory.mktemp("saved")
    base = make_policy(folder / "base", arithmetic.corpus(), seed=1)
    # Of four ranks the last has fewer rows than the others.
    assert AutoConfig.from_pretrained(base).vocab_size % 4
    return Place(folder, base, arithmetic.write_datasets(folder / "data", seed=1)["sft"])


@pytest.fixture(scope="module", params=[1, 2, 4])
def saved(request, place) -> list[str]:
    """The runs of so many processes, saved in folders of their names."""
    runs = [run for run in RUNS if MESHES[run.split("-")[1]][0] == request.param]
    file, log = place.folder / f"runs_{request.param}.json", place.folder / f"log_{request.param}"
    file.write_text(json.dumps([place.words(run) for run in runs]))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={request.param}"]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*torchrun, str(ENGINE), str(file)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
    try:
        assert process.wait(LIMIT_S) == 0, tail(log, 40)
    finally:
        end_session(process)
    return runs


def trained_model(place: Place, run: str) -> torch.nn.Module:
    """The model of the weights that the ranks had gathered, with an adapter added by peft."""
    model = AutoModelForCausalLM.from_pretrained(place.base, dtype=torch.float32)
    whole = torch.load(place.folder / run / WHOLE)
    if run.endswith("whole"):
        model.load_state_dict(whole)
        return model
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    adapted.load_state_dict(whole)
    return adapted.merge_and_unload()


def check(place: Place, run: str, out: Path) -> None:
    assert export(str(place.folder / run), str(out), str(place.base), False) == 0
    model, found = trained_model(place, run), load_file(out / "model.safetensors")
    wanted, before = model.state_dict(), load_file(place.base / "model.safetensors")
    assert found.keys() == before.keys()
    for name, weight in found.items():
        # An adapter is added here by the same library in the same dtype.
        assert torch.equal(weight, wanted[name]), name
    learned = {name for name, weight in found.items() if not torch.equal(weight, before[name])}
    assert learned == (found.keys() if run.endswith("whole") else {name for name in found if "_proj.weight" in name})
    answers = export_readers.by_transformers(str(out))
    assert answers == export_readers.by_model(model, AutoTokenizer.from_pretrained(place.base))
    base = AutoModelForCausalLM.from_pretrained(place.base, dtype=torch.float32)
    assert answers != export_readers.by_model(base, AutoTokenizer.from_pretrained(place.base))


def test_what_verl_saved_is_exported_as_it_was_trained(place, saved, tmp_path):
    for run in saved:
        check(place, run, tmp_path / run)


@pytest.mark.parametrize("run", ["fsdp1-hsdp-lora", "fsdp2-hsdp-whole"])
def test_what_verls_main_saved_on_four_processes_is_exported_as_it_was_trained(place, tmp_path, monkeypatch, run):
    monkeypatch.setenv("PYTHONPATH", str(ENGINE.parent), prepend=os.pathsep)
    main = Place(tmp_path, place.base, place.data)
    words = [*main.words(run), "trainer.logger=[console,file]", f"model.external_lib={ENGINE.stem}"]
    command = sft_command(*words, processes=4)
    steps = run_main(command, tmp_path / "log", tmp_path / "metrics.jsonl", LIMIT_S)

    assert [step.number for step in steps] == [1, 2]
    config = json.loads((tmp_path / run / "global_step_2" / "fsdp_config.json").read_text())
    assert config == {"FSDP_version": int(run[4]), "world_size": 4}
    check(main, run, tmp_path / "out")
