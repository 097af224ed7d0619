import pytest
from omegaconf import OmegaConf

from sinternal_verl.export.checkpoint import Checkpoint
from sinternal_verl.runs.record import (
    LAST_STEP,
    RECORD,
    STARTS,
    TRACKER,
    cluster_of,
    last_checkpoint,
    read_record,
    record_start,
    update_record,
    write_configuration,
)


def test_an_update_leaves_the_other_values_and_no_second_file(tmp_path):
    update_record(tmp_path / "new", identity={"a": 1}, versions={})
    update_record(tmp_path / "new", **{LAST_STEP: 10})

    assert read_record(tmp_path / "new") == {"identity": {"a": 1}, "versions": {}, LAST_STEP: 10}
    assert [file.name for file in (tmp_path / "new").iterdir()] == [RECORD]


@pytest.mark.parametrize(("text", "step"), [(None, None), ("", None), ("20", 20), ("20\n", 20)])
def test_the_last_checkpoint_is_the_trackers(tmp_path, text, step):
    if text is not None:
        (tmp_path / TRACKER).write_text(text)

    assert last_checkpoint(tmp_path) == step


def test_the_configuration_is_resolved_and_without_hydras_own(tmp_path):
    config = OmegaConf.create({"a": 1, "b": "${a}", "c": "???", "hydra": {"x": "${hydra:job}"}})
    write_configuration(tmp_path / "config.yaml", config)

    assert OmegaConf.load(tmp_path / "config.yaml") == {"a": 1, "b": 1, "c": "???"}


@pytest.mark.parametrize("role", ["", "actor"])
@pytest.mark.parametrize(("saved", "last", "unfinished"), [(5, 10, (5, 10)), (10, 10, None), (5, None, None)])
def test_an_export_knows_whether_the_run_has_reached_its_last_step(tmp_path, role, saved, last, unfinished):
    (tmp_path / TRACKER).write_text(str(saved))
    if last:
        update_record(tmp_path, **{LAST_STEP: last})
    folder = tmp_path / f"global_step_{saved}" / role
    folder.mkdir(parents=True)
    (folder / "fsdp_config.json").touch()

    assert Checkpoint.find(tmp_path).steps_of_an_unfinished_run == unfinished


def test_the_nodes_of_a_cluster_are_counted_by_their_kind():
    """As ray.nodes() lists them; one has died."""
    card = {"CPU": 96.0, "GPU": 8.0, "accelerator_type:H100": 1.0, "memory": 1.5e12, "object_store_memory": 2e11}
    plain = {"CPU": 16.0, "GPU": 1.0, "memory": 6e10, "object_store_memory": 4e9, "node:__internal_head__": 1.0}
    nodes = [{"Alive": True, "Resources": found} for found in (plain, card, card)]

    assert cluster_of([*nodes, {"Alive": False, "Resources": card}]) == [
        {"nodes": 1, "gpus": 0, "gpu": "", "cpus": 16.0, "memory_gb": 64},
        {"nodes": 2, "gpus": 8.0, "gpu": "H100", "cpus": 96.0, "memory_gb": 1700},
    ]


def test_a_start_that_only_validates_is_told_apart(tmp_path):
    config = {"trainer": {"default_local_dir": str(tmp_path)}}
    record_start(OmegaConf.create(config), None, None, command="train")
    config["trainer"]["val_only"] = True
    record_start(OmegaConf.create(config), None, None, from_step=20, command="validate")

    starts = read_record(tmp_path)[STARTS]
    assert [(start["from_step"], start["command"], start["trains"]) for start in starts] == [
        (0, "train", True),
        (20, "validate", False),
    ]
