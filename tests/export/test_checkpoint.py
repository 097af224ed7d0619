"""Checkpoints that were not saved whole, or are of another kind, are refused with what is wrong by name."""

import io
import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from checkpoints import save_checkpoint
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Shard

from sinternal_verl.commands.export import export
from sinternal_verl.export import unpickle
from sinternal_verl.export.checkpoint import Checkpoint
from sinternal_verl.export.errors import ExportError
from sinternal_verl.export.shards import Shards
from sinternal_verl.export.unpickle import Kept, ranks_of


def test_an_adapter_is_refused_before_anything_is_read_where_there_is_none(save, trained, tmp_path, capsys):
    run = save(trained)
    for file in run.glob("global_step_3/*.pt"):
        file.write_bytes(b"not read")

    assert export(str(run), str(tmp_path / "out"), "no/such-base", True) == 2
    assert "has no adapter: leave out --adapter" in capsys.readouterr().err


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def configured(**values) -> Callable[[Path], None]:
    return lambda file: file.write_text(json.dumps(json.loads(file.read_text()) | values)) and None


@pytest.mark.parametrize("share", [0.0001, 0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999])
def test_a_shard_that_was_cut_is_named(save, trained, tmp_path, capsys, share):
    run = save(trained)
    file = run / "global_step_3" / "model_world_size_2_rank_1.pt"
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size) + 1])

    assert export(str(run), str(tmp_path / "out"), None, False) == 2
    assert re.search(r"rank_1\.pt cannot be read \(.*\): it was not saved whole", capsys.readouterr().err)


@pytest.mark.parametrize("at", [0.02, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("content", [bytes(200), b"\xff" * 200], ids=["zeros", "ones"])
def test_a_shard_that_was_changed_is_named(save, trained, tmp_path, capsys, at, content):
    run = save(trained)
    file = run / "global_step_3" / "model_world_size_2_rank_1.pt"
    whole = file.read_bytes()
    start = int(at * len(whole))
    file.write_bytes(whole[:start] + content + whole[start + len(content) :])

    assert export(str(run), str(tmp_path / "out"), None, False) == 2
    assert re.search(r"rank_1\.pt (is not what was saved: the checksum|cannot be read)", capsys.readouterr().err)


def test_a_shard_without_checksums_is_read(save, trained):
    from torch.serialization import get_crc32_options, set_crc32_options

    before = get_crc32_options()
    set_crc32_options(False)
    try:
        run = save(trained)
    finally:
        set_crc32_options(before)
    shards = Shards(Checkpoint.find(run))
    assert all(torch.equal(shards.read(name), value) for name, value in trained.items())


def copied(run: Path, source: int, target: int) -> None:
    files = [next(run.glob(f"global_step_3/*_rank_{rank}.pt")) for rank in (source, target)]
    files[1].write_bytes(files[0].read_bytes())


@pytest.mark.parametrize(("mesh", "source", "target"), [((2,), 0, 1), ((8,), 2, 5), ((2, 4), 1, 3)])
def test_a_shard_that_is_a_copy_of_anothers_is_named(save, trained, tmp_path, capsys, mesh, source, target):
    run = save(trained, mesh)
    copied(run, source, target)

    assert export(str(run), str(tmp_path / "out"), None, False) == 2
    low, high = sorted((source, target))
    assert re.search(rf"rank_{high}\.pt holds the same as .*rank_{low}\.pt: it is a copy", capsys.readouterr().err)


def test_ranks_that_hold_the_same_by_right_are_read(save, ranks):
    torch.manual_seed(1)
    weights = {"of three rows": torch.randn(3, 4), "of zeros": torch.zeros(16, 4)}
    for mesh in ((8,), (2, 4)):
        shards = Shards(Checkpoint.find(save(weights, mesh)))
        assert all(torch.equal(shards.read(name), value) for name, value in weights.items())
        shutil.rmtree(shards._folder.parent)


@pytest.mark.parametrize("plain", [False, True], ids=["cut", "whole"])
def test_ranks_of_several_dtypes_are_refused(save, trained, tmp_path, capsys, plain):
    run = save(trained)
    name = "model.norm.weight"
    for rank in (0, 1):

        def other(shard, rank=rank):
            value = torch.ones(128) if plain else shard[name]
            shard[name] = value.half() if rank else value

        change(run, rank, other)

    assert export(str(run), str(tmp_path / "out"), None, False) == 2
    said = capsys.readouterr().err
    assert f"{name} is (128,) of torch.float16, " in said and "and (128,) of torch.float32, " in said


def test_a_parameter_that_is_cut_in_one_shard_alone_is_named(save, trained):
    run = save(trained)
    change(run, 1, lambda shard: shard.update({"model.norm.weight": torch.ones(128)}))

    with pytest.raises(ExportError, match=r"model\.norm\.weight is \(128,\) of torch\.float32, whole in .*rank_1\.pt"):
        Shards(Checkpoint.find(run))


@pytest.mark.parametrize("value", [[], None, 3, torch.ones(2), [torch.ones(2)]], ids=str)
def test_a_shard_that_is_no_dictionary_is_named(save, trained, tmp_path, capsys, value):
    run = save(trained)
    torch.save(value, run / "global_step_3" / "model_world_size_2_rank_1.pt")

    assert export(str(run), str(tmp_path / "out"), None, False) == 2
    assert f"rank_1.pt holds {type(value).__name__}, and no dictionary of tensors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "harm", "words"),
    [
        ("model_world_size_2_rank_1.pt", truncate, r"rank_1\.pt cannot be read \(.*\): it was not saved whole"),
        ("model_world_size_2_rank_1.pt", lambda file: file.write_bytes(b""), r"lacks model_world_size_2_rank_1\.pt"),
        ("model_world_size_2_rank_0.pt", Path.unlink, r"lacks model_world_size_2_rank_0\.pt: save with"),
        ("fsdp_config.json", Path.unlink, r"holds shards, but no fsdp_config\.json, which verl writes last"),
        ("fsdp_config.json", lambda file: file.write_text(""), r"fsdp_config\.json cannot be read"),
        ("fsdp_config.json", lambda file: file.write_text("{}"), "does not say the number of ranks"),
        ("lora_train_meta.json", lambda file: file.write_text('{"r"'), r"lora_train_meta\.json cannot be read"),
        ("huggingface/config.json", Path.unlink, r"huggingface holds no config\.json"),
        ("huggingface/config.json", lambda file: file.write_text('{"model_type": "none"}'), "no causal model"),
        ("huggingface/config.json", lambda file: file.write_text("{"), r"config\.json cannot be read"),
        ("huggingface/config.json", lambda file: file.write_text("[]"), r"config\.json holds no object"),
        ("huggingface/config.json", lambda file: file.write_text("null"), r"config\.json holds no object"),
        ("huggingface/config.json", lambda file: file.write_bytes(b"\xff\xfe"), r"config\.json cannot be read"),
        ("huggingface/config.json", configured(model_type=["qwen2"]), "no causal model"),
        ("huggingface/config.json", configured(hidden_size="wide"), "no causal model"),
        ("huggingface/config.json", configured(hidden_size=-1), "no causal model"),
        ("huggingface/config.json", configured(num_attention_heads=0), "no causal model"),
        ("huggingface/config.json", configured(rope_parameters=3), "no causal model"),
        ("huggingface/config.json", configured(dtype="float99"), "no causal model"),
        ("../sinternal_run.json", lambda file: file.write_text("{"), r"sinternal_run\.json cannot be read"),
        ("../sinternal_run.json", lambda file: file.write_text("[]"), r"sinternal_run\.json holds no object"),
    ],
)
def test_what_was_not_saved_whole_is_named(save, trained, tmp_path, capsys, name, harm, words):
    run = save(trained)
    harm(run / "global_step_3" / name)

    assert export(str(run), str(tmp_path / "out"), None, False) == 2
    assert re.search(words, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("harm", ["no configuration", "no shard", "no folder"])
def test_the_other_steps_of_the_run_are_named(save, trained, world, tmp_path, capsys, harm):
    run = save(trained)
    last = save_checkpoint(run, trained, world["policy"], step=6)
    for file in last.rglob("*"):
        of_harm = harm == "no folder" or (harm == "no configuration" and file.name == "fsdp_config.json")
        if of_harm and file.is_file():
            file.unlink()
    if harm == "no shard":
        (last / "model_world_size_2_rank_1.pt").unlink()
    if harm == "no folder":
        (last / "huggingface").rmdir()
        last.rmdir()

    assert export(str(run), str(tmp_path / "out"), None, False) == 2
    assert f"; {run} holds global_step_3" in capsys.readouterr().err
    assert export(str(run / "global_step_3"), str(tmp_path / "out"), None, False) == 0


def test_files_of_another_world_size_beside_it_are_left_alone(save, trained):
    run = save(trained)
    (run / "global_step_3" / "model_world_size_1_rank_0.pt").write_bytes(b"of an earlier start")

    assert Shards(Checkpoint.find(run)).specs.keys() == trained.keys()


def test_parameters_of_several_dtypes_keep_them(save, trained):
    mixed = {name: value.bfloat16() if "norm" in name else value for name, value in trained.items()}
    shards = Shards(Checkpoint.find(save(mixed)))

    assert all(shards.read(name).dtype == value.dtype for name, value in mixed.items())
    assert all(torch.equal(shards.read(name), value) for name, value in mixed.items())


def test_whole_numbers_are_not_made_real(save, ranks):
    run = save({"counts": torch.arange(9)})

    assert torch.equal(Shards(Checkpoint.find(run)).read("counts", torch.bfloat16), torch.arange(9))


def change(run: Path, rank: int, do) -> None:
    file = run / "global_step_3" / f"model_world_size_2_rank_{rank}.pt"
    shard = torch.load(file, weights_only=False)
    do(shard)
    torch.save(shard, file)


def test_a_parameter_of_one_shard_alone_is_named(save, trained):
    run = save(trained)
    change(run, 1, lambda shard: shard.update(more=torch.ones(2)))

    with pytest.raises(ExportError, match=r"more is in model_world_size_2_rank_1\.pt and not in every shard"):
        Shards(Checkpoint.find(run))


def test_whole_parameters_that_differ_between_ranks_are_named(save, trained):
    run = save(trained)
    for rank in (0, 1):
        change(run, rank, lambda shard, rank=rank: shard.update({"model.norm.weight": torch.full((128,), float(rank))}))

    with pytest.raises(ExportError, match=r"model\.norm\.weight is whole in each shard, but .*rank_1\.pt has another"):
        Shards(Checkpoint.find(run))


@pytest.mark.parametrize("placements", [[Shard(0), Shard(1)], [Partial(), Shard(0)]], ids=["two cuts", "a sum"])
def test_what_fsdp_does_not_cut_is_refused(save, ranks, placements):
    run = save({"weight": torch.ones(4, 4)})
    mesh = DeviceMesh("cpu", torch.arange(4).reshape(2, 2))
    for rank in (0, 1):
        odd = DTensor.from_local(
            torch.ones(2, 4), mesh, placements, run_check=False, shape=torch.Size((4, 4)), stride=(4, 1)
        )
        change(run, rank, lambda shard, odd=odd: shard.update(weight=odd))

    with pytest.raises(ExportError, match=r"weight is cut as .* only what FSDP cuts can be exported"):
        Shards(Checkpoint.find(run))


def test_a_cut_along_another_dimension_is_joined(save, ranks):
    whole = torch.randn(6, 5)
    run = save({"weight": whole})
    mesh = DeviceMesh("cpu", torch.arange(2))
    for rank, local in enumerate(whole.chunk(2, dim=1)):
        part = DTensor.from_local(
            local.contiguous(), mesh, [Shard(1)], run_check=False, shape=whole.shape, stride=whole.stride()
        )
        change(run, rank, lambda shard, part=part: shard.update(weight=part))

    assert torch.equal(Shards(Checkpoint.find(run)).read("weight"), whole)


def test_a_missing_meta_of_the_adapter_is_taken_from_the_record(save, trained, tmp_path):
    run = save(trained)
    (run / "sinternal_run.json").write_text(json.dumps({"identity": {"model.lora_rank": 4, "model.lora_alpha": 8}}))

    assert Checkpoint.find(run).lora == {"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM"}


def kept(name: str, **state) -> Kept:
    found = type(name, (Kept,), {})()
    found.__setstate__(state)
    return found


@pytest.mark.parametrize(
    "layout",
    [
        kept("_MeshLayout", shape=(2, 4), stride=(4, 1)),
        kept(
            "_MeshLayout",
            axes=(kept("_FlatLayout", shape=(2,), stride=(4,)), kept("_FlatLayout", shape=(4,), stride=(1,))),
        ),
    ],
    ids=["torch 2.11", "torch 2.13"],
)
def test_a_mesh_of_another_version_of_torch_is_read(layout):
    mesh = kept("DeviceMesh", _layout=layout, _rank_map=torch.arange(8))

    assert ranks_of(mesh).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_mesh_of_torch_2_9_holds_its_ranks():
    assert ranks_of(kept("DeviceMesh", mesh=torch.arange(8).reshape(2, 4))).shape == (2, 4)


class Calls:
    """What a file could hold that is no tensor: a call under a name of its own."""

    def __init__(self, module: str, name: str, *arguments) -> None:
        self.name, self.arguments = (module, name), arguments


class CallsPickler(pickle._Pickler):
    """Writes a call under whatever name; pickle's own looks first whether the name is there."""

    def save(self, obj, save_persistent_id=True):
        if not isinstance(obj, Calls):
            return super().save(obj, save_persistent_id)
        self.write(pickle.GLOBAL + "{}\n{}\n".format(*obj.name).encode())
        super().save(obj.arguments)
        self.write(pickle.REDUCE)


class CallsModule(ModuleType):
    Pickler = CallsPickler


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("posix", "mkdir"),
        ("builtins", "eval"),
        ("torch", "os.mkdir"),
        ("torch.serialization", "os.mkdir"),
        ("torch._utils", "torch.os.mkdir"),
        ("torch.storage", "UntypedStorage.from_file"),
        ("torch.hub", "load"),
        ("torch", "load"),
        ("torch.utils.cpp_extension", "load"),
        ("collections", "abc.sys.exit"),
        ("torchvision", "anything"),
        ("torch.distributedly", "anything"),
    ],
)
def test_no_other_code_than_that_of_tensors_is_run(save, trained, tmp_path, module, name):
    run = save(trained)
    file = run / "global_step_3" / "model_world_size_2_rank_0.pt"
    call = Calls(module, name, str(tmp_path / "made"))
    torch.save({"more": call}, file, pickle_module=CallsModule("calls"), pickle_protocol=2)

    with pytest.raises(ExportError, match=rf"it holds {re.escape(f'{module}.{name}')}, and not tensors alone"):
        Shards(Checkpoint.find(run))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["mkdir", "os.mkdir"])
def test_of_distributed_nothing_is_run(save, trained, tmp_path, name):
    run = save(trained)
    file = run / "global_step_3" / "model_world_size_2_rank_0.pt"
    call = Calls("torch.distributed", name, str(tmp_path / "made"))
    torch.save({"more": call}, file, pickle_module=CallsModule("calls"), pickle_protocol=2)

    with pytest.raises(ExportError, match=r"only tensors and DTensors can be exported"):
        Shards(Checkpoint.find(run))
    assert not (tmp_path / "made").exists()


def test_a_file_before_torchs_zip_files_runs_nothing(save, trained, tmp_path):
    run = save(trained)
    file = run / "global_step_3" / "model_world_size_2_rank_0.pt"
    file.write_bytes(pickle.dumps(Runs(str(tmp_path / "made"))))

    with pytest.raises(ExportError, match=r"rank_0\.pt cannot be read"):
        Shards(Checkpoint.find(run))
    with pytest.raises(pickle.UnpicklingError, match="not tensors alone"):
        unpickle.load(io.BytesIO(file.read_bytes()))
    assert not (tmp_path / "made").exists()


class Runs:
    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize(
    "value",
    [
        torch.nn.Parameter(torch.ones(4)),
        torch.ones(4, dtype=torch.uint16),
        torch.ones(4).to(torch.float8_e4m3fn),
        torch.ones(4, dtype=torch.complex64),
        torch.ones(4, dtype=torch.bool),
    ],
    ids=lambda value: f"{type(value).__name__}-{value.dtype}",
)
def test_tensors_of_all_kinds_are_read(save, trained, value):
    run = save(trained, (1,))
    value.told = "an attribute makes torch keep the class"
    torch.save({"one": value}, run / "global_step_3" / "model_world_size_1_rank_0.pt")

    assert torch.equal(Shards(Checkpoint.find(run)).read("one").view(torch.uint8), value.detach().view(torch.uint8))
