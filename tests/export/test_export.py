"""Exports of checkpoints made by hand, in the files that verl's FSDP checkpoint manager writes: joined from any mesh,
in any dtype, with an adapter or without. An export of a trained model: ``tests/e2e/test_verify_run.py``."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from checkpoints import Weights, part_of
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3MoeConfig

from sinternal_verl.commands.export import export
from sinternal_verl.export.checkpoint import Checkpoint
from sinternal_verl.export.errors import ExportError
from sinternal_verl.export.finite import check_finite
from sinternal_verl.export.shards import Shards

LORA = {"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM"}


@pytest.fixture
def adapted(world):
    """The policy with an adapter that has learned something."""
    torch.manual_seed(4)
    base = AutoModelForCausalLM.from_pretrained(world["policy"], dtype=torch.float32)
    settings = LoraConfig(**LORA, target_modules=["q_proj", "down_proj"])
    model = get_peft_model(base, settings)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return model


def weights_of(folder: Path) -> Weights:
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize(
    "mesh", [(1,), (2,), (3,), (8,), (2, 4)], ids=["one rank", "two", "three, uneven", "eight", "HSDP"]
)
def test_shards_are_joined_bit_by_bit(world, save, trained, tmp_path, mesh):
    assert export(str(save(trained, mesh)), str(tmp_path / "out"), str(world["policy"]), False) == 0
    for name, weight in weights_of(tmp_path / "out").items():
        assert torch.equal(weight, trained[name]), name
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template


def test_plain_tensors_of_one_rank_are_taken_as_they_are(save, trained):
    run = save(trained, (1,))
    torch.save(trained, run / "global_step_3" / "model_world_size_1_rank_0.pt")

    found = Shards(Checkpoint.find(run))
    assert found.specs.keys() == trained.keys()
    assert all(torch.equal(found.read(name), trained[name]) for name in trained)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kept", [torch.float32, torch.bfloat16])
def test_the_dtype_is_the_bases_whatever_the_checkpoint_keeps(world, save, trained, tmp_path, dtype, kept):
    base = tmp_path / "base"
    AutoModelForCausalLM.from_pretrained(world["policy"], dtype=dtype).save_pretrained(base)
    run = save({name: weight.to(kept) for name, weight in trained.items()})

    assert export(str(run), str(tmp_path / "out"), str(base), False) == 0
    for name, weight in weights_of(tmp_path / "out").items():
        assert weight.dtype == dtype
        assert torch.equal(weight, trained[name].to(kept).to(dtype)), name
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("alone", [False, True], ids=["with the base weights", "alone"])
def test_an_adapter_is_fused_and_can_be_written_alone(world, save, adapted, tmp_path, alone):
    policy = str(world["policy"])
    weights = {name: weight for name, weight in adapted.state_dict().items() if not alone or "lora_" in name}
    run = save(weights, lora=LORA, role="actor")

    assert export(str(run), str(tmp_path / "fused"), policy, False) == 0
    assert export(str(run), str(tmp_path / "adapter"), policy, True) == 0
    base = AutoModelForCausalLM.from_pretrained(world["policy"], dtype=torch.float32)
    before = {name: weight.clone() for name, weight in base.state_dict().items()}
    again = PeftModel.from_pretrained(base, tmp_path / "adapter").merge_and_unload().state_dict()
    wanted = adapted.merge_and_unload().state_dict()
    fused = weights_of(tmp_path / "fused")
    for name, weight in fused.items():
        torch.testing.assert_close(weight, wanted[name])
        torch.testing.assert_close(again[name], wanted[name])
    changed = {name for name in fused if not torch.equal(fused[name], before[name])}
    assert changed == {name for name in fused if "q_proj.weight" in name or "down_proj" in name}


def refused(capsys, *arguments) -> str:
    """What an export says that ends with 2."""
    assert export(*map(str, arguments[:2]), *arguments[2:]) == 2
    return capsys.readouterr().err


def test_what_learned_nothing_is_refused(world, save, tmp_path, capsys):
    policy = AutoModelForCausalLM.from_pretrained(world["policy"], dtype=torch.float32)

    said = refused(capsys, save(policy.state_dict()), tmp_path / "out", str(world["policy"]), False)
    assert f"the result equals {world['policy']}: nothing was learned" in said
    assert not (tmp_path / "out").exists()


def test_an_adapter_that_is_still_zero_is_refused(world, save, adapted, tmp_path, capsys):
    weights = adapted.state_dict()
    weights |= {name: torch.zeros_like(weight) for name, weight in weights.items() if "lora_B" in name}

    said = refused(capsys, save(weights, lora=LORA), tmp_path / "out", str(world["policy"]), False)
    assert "the adapter is still zero: nothing was learned" in said


@pytest.mark.parametrize(
    ("kept", "lora", "base", "words"),
    [
        ("lora_", LORA, False, "holds the adapter alone: give the base model with --base"),
        ("layers", {"r": 4, "lora_alpha": 0}, True, "does not say the adapter's alpha"),
        ("embed", LORA, True, "tells of an adapter of rank 4, but holds none"),
    ],
)
def test_an_adapter_that_cannot_be_fused_says_what_is_missing(
    world, save, adapted, tmp_path, capsys, kept, lora, base, words
):
    weights = {name: weight for name, weight in adapted.state_dict().items() if kept in name}

    said = refused(capsys, save(weights, lora=lora), tmp_path / "out", str(world["policy"]) if base else None, False)
    assert words in said


NOT_FINITE = {"nan": float("nan"), "infinity": float("inf"), "minus infinity": float("-inf")}


@pytest.mark.parametrize("value", NOT_FINITE.values(), ids=NOT_FINITE)
@pytest.mark.parametrize("kept", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["model.norm.weight", "model.layers.1.mlp.down_proj.weight"])
def test_numbers_that_are_not_finite_are_refused(save, trained, world, tmp_path, capsys, name, kept, value):
    weights = {key: weight.to(kept, copy=True) for key, weight in trained.items()}
    weights[name].view(-1)[-1] = value  # of the last rank

    for base in (str(world["policy"]), None):
        said = refused(capsys, save(weights) if base else tmp_path / "run", tmp_path / "out", base, False)
        assert f"{name} holds NaN or infinity: " in said
    assert not (tmp_path / "out").exists()


def test_numbers_that_do_not_fit_the_result_are_refused(save, trained, world, tmp_path, capsys):
    base, weights = tmp_path / "base", {name: weight.clone() for name, weight in trained.items()}
    AutoModelForCausalLM.from_pretrained(world["policy"], dtype=torch.float16).save_pretrained(base)
    weights["model.norm.weight"][-1] = 1e5
    run = save(weights)

    assert "model.norm.weight does not fit float16" in refused(capsys, run, tmp_path / "out", str(base), False)
    assert export(str(run), str(tmp_path / "out"), str(world["policy"]), False) == 0


@pytest.mark.parametrize(
    ("value", "fused", "alone"),
    [
        (float("nan"), "holds NaN or infinity", "holds NaN or infinity"),
        (1e8, "does not fit float16", "does not fit float16"),
        (1e38, "q_proj.weight holds NaN or infinity", "does not fit float16"),  # the product is infinite
    ],
)
def test_an_adapter_that_is_not_finite_is_refused(save, adapted, world, tmp_path, capsys, value, fused, alone):
    base, weights = tmp_path / "base", {name: weight.clone() for name, weight in adapted.state_dict().items()}
    AutoModelForCausalLM.from_pretrained(world["policy"], dtype=torch.float16).save_pretrained(base)
    for name in weights:
        if "layers.0.self_attn.q_proj.lora_" in name:
            weights[name][:] = value if "lora_B" in name else 100.0
    run = save(weights, lora=LORA)

    assert fused in refused(capsys, run, tmp_path / "out", str(base), False)
    assert alone in refused(capsys, run, tmp_path / "out", str(base), True)


def test_a_base_that_is_not_finite_is_refused_for_an_adapter_alone(save, adapted, world, tmp_path, capsys):
    base = Path(shutil.copytree(world["policy"], tmp_path / "base"))
    weights = weights_of(base)
    weights["model.norm.weight"][-1] = float("nan")
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    run = save({name: value for name, value in adapted.state_dict().items() if "lora_" in name}, lora=LORA)

    said = refused(capsys, run, tmp_path / "out", str(base), False)
    assert "model.norm.weight of the base model holds NaN or infinity" in said


def test_float8_is_checked_too():
    check_finite("weight", torch.full((3,), 448.0).to(torch.float8_e4m3fn))
    check_finite("weight", torch.empty(0))
    with pytest.raises(ExportError, match="weight holds NaN"):
        check_finite("weight", torch.tensor([1.0, float("nan")]).to(torch.float8_e4m3fn))


def test_there_is_no_adapter_to_write(save, trained, tmp_path, capsys):
    assert "has no adapter: leave out --adapter" in refused(capsys, save(trained), tmp_path / "out", None, True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda weights: weights.pop("model.norm.weight"), "it lacks model.norm.weight"),
        (lambda weights: weights.update(more=torch.ones(2)), "it holds besides more"),
    ],
)
def test_other_names_than_the_configurations_are_refused(save, trained, tmp_path, capsys, change, words):
    weights = dict(trained)
    change(weights)

    assert words in refused(capsys, save(weights), tmp_path / "out", None, False)


class TestShards:
    def test_a_missing_one_is_named(self, save, trained):
        run = save(trained)
        (run / "global_step_3" / "model_world_size_2_rank_1.pt").unlink()

        with pytest.raises(ExportError, match=r"lacks model_world_size_2_rank_1\.pt: save with"):
            Shards(Checkpoint.find(run))

    def test_a_parameter_that_one_of_them_lacks_is_named(self, save, trained):
        run = save(trained)
        _change_last_shard(run, lambda shard: shard.pop("model.norm.weight"))

        with pytest.raises(ExportError, match=r"model\.norm\.weight is not in every shard"):
            Shards(Checkpoint.find(run))

    def test_one_of_another_length_is_found(self, save, trained):
        run = save(trained)

        def shorten(shard):
            norm = shard["model.norm.weight"]
            shard["model.norm.weight"] = part_of(norm.to_local()[:-1], norm.device_mesh, norm)

        _change_last_shard(run, shorten)

        with pytest.raises(ExportError, match=r"model\.norm\.weight joins to \(127,\), not \(128,\)"):
            Shards(Checkpoint.find(run))


def _change_last_shard(run: Path, change) -> None:
    file = run / "global_step_3" / "model_world_size_2_rank_1.pt"
    shard = torch.load(file, weights_only=False)
    change(shard)
    torch.save(shard, file)


def test_experts_are_written_under_the_names_of_the_hub(world, save, tmp_path):
    config = Qwen3MoeConfig(
        vocab_size=320,
        hidden_size=32,
        intermediate_size=64,
        moe_intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_experts=4,
        num_experts_per_tok=2,
    )
    torch.manual_seed(7)
    model, base = AutoModelForCausalLM.from_config(config), tmp_path / "base"
    shutil.copytree(world["policy"], base, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    model.save_pretrained(base)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    run = save(model.state_dict(), policy=base)

    assert export(str(run), str(tmp_path / "out"), str(base), False) == 0
    written = weights_of(tmp_path / "out")
    assert written.keys() == weights_of(base).keys()
    assert "model.layers.0.mlp.experts.3.gate_proj.weight" in written
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    assert all(torch.equal(again[name], value) for name, value in model.state_dict().items())
