"""Adapters of all kinds, on tied models and others: the exported model says what the trained one says."""

import json
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from peft import AutoPeftModelForCausalLM, LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

from sinternal_verl.commands.export import export

SIZES = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
}
TIED = {"qwen2, tied": (Qwen2Config, True), "qwen3, tied": (Qwen3Config, True), "llama": (LlamaConfig, False)}

ADAPTERS = {
    "all layers": {"target_modules": "all-linear"},
    "head": {"target_modules": ["q_proj", "lm_head"]},
    "embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "head and embedding": {"target_modules": ["lm_head", "embed_tokens"]},
    "DoRA": {"target_modules": ["q_proj", "down_proj"], "use_dora": True},
    "rslora": {"target_modules": ["q_proj"], "use_rslora": True},
    "patterns": {
        "target_modules": ["q_proj", "v_proj"],
        "rank_pattern": {"layers.1.self_attn.q_proj": 6},
        "alpha_pattern": {"v_proj": 3},
    },
    "bias": {"target_modules": ["q_proj"], "bias": "all"},
    "one layer": {"target_modules": ["q_proj"], "layers_to_transform": [1]},
    "norm to save": {"target_modules": ["q_proj"], "modules_to_save": ["norm"]},
    "head to save": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
}
OF_VERL = {"all layers", "head", "embedding", "head and embedding", "one layer"}
"""Those whose scale verl's own file says."""


@pytest.fixture(params=TIED)
def base(request, tmp_path, world) -> Path:
    config, tied = TIED[request.param]
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(config(**SIZES, tie_word_embeddings=tied))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    folder = tmp_path / "base"
    model.save_pretrained(folder)
    for file in world["policy"].glob("*token*"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def taught(base: Path, **settings) -> PeftModel:
    """A base with an adapter whose every trained parameter has learned something."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's of tied modules
        model = AutoModelForCausalLM.from_pretrained(base)
        model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **settings))
    torch.manual_seed(6)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.2 * torch.randn_like(weight))
    return model.eval()


@torch.no_grad()
def logits(model: torch.nn.Module) -> torch.Tensor:
    return model(torch.arange(40).reshape(2, 20)).logits


@pytest.mark.parametrize("kind", ADAPTERS)
@pytest.mark.parametrize("alone", [False, True], ids=["whole", "alone"])
def test_the_export_says_what_the_trained_model_says(base, save, tmp_path, capsys, kind, alone):
    model = taught(base, **ADAPTERS[kind])
    weights = {name: value for name, value in model.state_dict().items() if not alone or "lora_" in name}
    run = save(weights, policy=base, lora={"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM"})
    if kind not in OF_VERL:
        model.peft_config["default"].save_pretrained(run / "global_step_3")
    fused, adapter = tmp_path / "fused", tmp_path / "adapter"

    done = export(str(run), str(fused), str(base), False)

    if alone and any("lora_" not in name for name in get_peft_model_state_dict(model, save_embedding_layers=False)):
        assert done == 2
        assert "verl leaves them out with checkpoint.save_lora_only=True" in capsys.readouterr().err
        return
    assert done == 0, capsys.readouterr().err
    torch.testing.assert_close(logits(AutoModelForCausalLM.from_pretrained(fused)), logits(model))
    assert export(str(run), str(adapter), str(base), True) == 0
    again = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    torch.testing.assert_close(logits(again), logits(model))


@pytest.mark.parametrize("kind", [kind for kind in ADAPTERS if kind not in OF_VERL and kind not in ("rslora", "bias")])
def test_an_adapter_that_verl_does_not_make_needs_its_configuration(base, save, tmp_path, capsys, kind):
    run = save(taught(base, **ADAPTERS[kind]).state_dict(), policy=base, lora={"r": 4, "lora_alpha": 8})

    assert export(str(run), str(tmp_path / "out"), str(base), False) == 2
    assert "put its adapter_config.json into" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["rslora", "bias"])
def test_an_adapter_that_the_run_went_on_from_scales_it(base, save, tmp_path, capsys, kind):
    model, first = taught(base, **ADAPTERS[kind]), tmp_path / "first"
    run = save(model.state_dict(), policy=base, lora={"r": 4, "lora_alpha": 8})
    (run / "sinternal_run.json").write_text(json.dumps({"identity": {"model.lora_adapter_path": str(first)}}))

    assert export(str(run), str(tmp_path / "out"), str(base), False) == 2
    assert f"goes on from {first}" in capsys.readouterr().err
    model.save_pretrained(first)
    assert export(str(run), str(tmp_path / "out"), str(base), False) == 0
    torch.testing.assert_close(logits(AutoModelForCausalLM.from_pretrained(tmp_path / "out")), logits(model))


@pytest.mark.parametrize("base", ["llama"], indirect=True)
@pytest.mark.parametrize("where", ["in the checkpoint", "the run went on from it"])
@pytest.mark.parametrize(("key", "value"), [("lora_alpha", 80), ("r", 16)])
@pytest.mark.parametrize("adapter", [False, True], ids=["fused", "alone"])
def test_the_configuration_of_another_adapter_is_refused(base, save, tmp_path, capsys, where, key, value, adapter):
    model, first = taught(base, **ADAPTERS["rslora"]), tmp_path / "first"
    run = save(model.state_dict(), policy=base, lora={"r": 4, "lora_alpha": 8})
    (run / "sinternal_run.json").write_text(json.dumps({"identity": {"model.lora_adapter_path": str(first)}}))
    folder = run / "global_step_3" if where == "in the checkpoint" else first
    config = model.peft_config["default"]
    setattr(config, key, value)
    config.save_pretrained(folder)

    assert export(str(run), str(tmp_path / "out"), str(base), adapter) == 2
    was = {"lora_alpha": 8, "r": 4}[key]
    said = f"the adapter was trained with {key} {was}, and adapter_config.json of {folder} says {key} {value}"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("base", ["llama"], indirect=True)
def test_an_alpha_between_whole_numbers_is_the_configurations(base, save, tmp_path):
    model = taught(base, target_modules=["q_proj"])
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            layer.scaling["default"] = 8.5 / 4
    run = save(model.state_dict(), policy=base, lora={"r": 4, "lora_alpha": 8})  # verl cuts 8.5 off
    model.peft_config["default"].lora_alpha = 8.5
    model.peft_config["default"].save_pretrained(run / "global_step_3")

    assert export(str(run), str(tmp_path / "out"), str(base), False) == 0
    torch.testing.assert_close(logits(AutoModelForCausalLM.from_pretrained(tmp_path / "out")), logits(model))


@pytest.mark.parametrize("base", ["llama"], indirect=True)
def test_a_runs_settings_do_not_speak_of_the_adapter_that_it_loads(base, save, tmp_path):
    model, first = taught(base, **ADAPTERS["rslora"]), tmp_path / "first"
    run = save(model.state_dict(), policy=base)
    settings = {"model.lora_adapter_path": str(first), "model.lora_rank": 64, "model.lora_alpha": 16}
    (run / "sinternal_run.json").write_text(json.dumps({"identity": settings}))
    model.save_pretrained(first)

    assert export(str(run), str(tmp_path / "out"), str(base), False) == 0
    torch.testing.assert_close(logits(AutoModelForCausalLM.from_pretrained(tmp_path / "out")), logits(model))


@pytest.mark.parametrize("base", ["qwen2, tied"], indirect=True)
@pytest.mark.parametrize("kind", ["head", "embedding"])
def test_tied_parameters_that_differ_are_written_both_and_told(base, save, tmp_path, capsys, kind):
    run = save(taught(base, **ADAPTERS[kind]).state_dict(), policy=base, lora={"r": 4, "lora_alpha": 8})

    assert export(str(run), str(tmp_path / "out"), str(base), False) == 0
    assert "lm_head.weight and model.embed_tokens.weight differ, so both are written" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is False
    assert "\nThe tied parameters lm_head.weight and" in (tmp_path / "out" / "README.md").read_text()
    written = load_file(tmp_path / "out" / "model.safetensors")
    assert not torch.equal(written["lm_head.weight"], written["model.embed_tokens.weight"])


@pytest.mark.parametrize("base", ["qwen2, tied"], indirect=True)
def test_tied_parameters_that_agree_stay_tied(base, save, tmp_path):
    run = save(taught(base, **ADAPTERS["all layers"]).state_dict(), policy=base, lora={"r": 4, "lora_alpha": 8})

    assert export(str(run), str(tmp_path / "out"), str(base), False) == 0
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is True
    assert "lm_head.weight" not in load_file(tmp_path / "out" / "model.safetensors")
    assert list((tmp_path / "out").glob("README.md"))


@pytest.mark.parametrize("source", [False, True], ids=["of verl", "goes on from another"])
def test_peft_finds_the_base_of_an_adapter(base, save, tmp_path, source):
    model = taught(base, **ADAPTERS["all layers"])
    run = save(model.state_dict(), policy=base, lora={"r": 4, "lora_alpha": 8})
    if source:
        model.peft_config["default"].base_model_name_or_path = str(tmp_path / "of another machine")
        model.peft_config["default"].save_pretrained(run / "global_step_3")

    assert export(str(run), str(tmp_path / "out"), str(base), True) == 0
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["base_model_name_or_path"] == str(base)
    again = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "out")
    torch.testing.assert_close(logits(again), logits(model))


@pytest.mark.parametrize("base", ["llama"], indirect=True)
@pytest.mark.parametrize("known", [True, False], ids=["on the hub", "not known"])
def test_an_adapter_names_the_hub_id_of_its_base_and_no_path_where_it_is_not_known(base, save, tmp_path, known):
    cached = tmp_path / "hub" / "models--org--small-model" / "snapshots" / "0123abcd"
    shutil.copytree(base, cached)
    model = taught(base, **ADAPTERS["all layers"])
    run = save(model.state_dict(), policy=base, lora={"r": 4, "lora_alpha": 8})

    assert export(str(run), str(tmp_path / "out"), str(cached) if known else None, True) == 0
    named = json.loads((tmp_path / "out" / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert named == ("org/small-model" if known else None)
