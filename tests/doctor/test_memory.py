"""What a run needs is reckoned from sizes alone, and what cannot fit is found before a model loads."""

import stat

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

from sinternal_verl import attention
from sinternal_verl.commands.doctor import doctor
from sinternal_verl.config import compose_config
from sinternal_verl.doctor import fits, machine
from sinternal_verl.doctor.checks import run_checks
from sinternal_verl.doctor.fits import check_memory, memory_table, reckon
from sinternal_verl.doctor.memory import GB, WITH_FLASH, WITHOUT_FLASH, Training, size_of
from sinternal_verl.doctor.problem import Note, Problem

QWEN_7B = {"vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28}
QWEN_7B |= {"num_attention_heads": 28, "num_key_value_heads": 4, "tie_word_embeddings": False}
LLAMA_8B = {"vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32}
LLAMA_8B |= {"num_attention_heads": 32, "num_key_value_heads": 8, "tie_word_embeddings": False}
QWEN_14B = {"vocab_size": 152064, "hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 48}
QWEN_14B |= {"num_attention_heads": 40, "num_key_value_heads": 8, "tie_word_embeddings": False}
CONFIGS = {
    "7b": Qwen2Config(**QWEN_7B, max_position_embeddings=131072, architectures=["Qwen2ForCausalLM"]),
    "8b": LlamaConfig(**LLAMA_8B, max_position_embeddings=131072, architectures=["LlamaForCausalLM"]),
    "14b": Qwen2Config(**QWEN_14B, max_position_embeddings=131072, architectures=["Qwen2ForCausalLM"]),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders with the configurations of the paper's models, and nothing else."""
    folder = tmp_path_factory.mktemp("models")
    for name, config in CONFIGS.items():
        config.save_pretrained(folder / name)
    return {name: folder / name for name in CONFIGS}


@pytest.fixture(autouse=True)
def one_machine(monkeypatch):
    """A machine without cards, with much memory and flash-attn; a test that wants another says so."""
    monkeypatch.setattr(attention, "has_flash_attn", lambda: True)
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setattr(fits, "cards_here", lambda: ())
    monkeypatch.setattr(fits, "host_gb", lambda: 1000.0)


def grpo(model, *overrides):
    path = f"actor_rollout_ref.model.path={model}"
    return compose_config(["+recipe=sinternal_grpo", path, "guard=none", *overrides])


def sft(model, *overrides):
    return compose_config(["+recipe=sinternal_sft", f"model.path={model}", *overrides])


def training(**changes) -> Training:
    of_8gpu_7b = {"shards": 4, "per_node": 4, "tokens": 20480, "weight": 4, "offload": False, "logits": WITH_FLASH}
    return Training(
        **(of_8gpu_7b | {"offload_weights": False, "offload_moments": True, "checkpointing": True} | changes)
    )


@pytest.mark.parametrize(
    ("model", "peak", "changes"),
    [
        ("7b", 57, {}),
        ("8b", 58, {}),
        ("14b", 34, {"offload": True, "tokens": 12288}),
        ("7b", 25, {"offload": True, "tokens": 12288, "shards": 1, "per_node": 1}),
        ("8b", 24, {"offload": True, "tokens": 12288, "shards": 1, "per_node": 1}),
        ("14b", 32, {"offload": True, "tokens": 10240, "shards": 1, "per_node": 1}),
        ("7b", 40, {"offload": True, "tokens": 32768, "shards": 1, "per_node": 1}),
    ],
)
def test_peaks_agree_with_those_reckoned_by_hand(model, peak, changes):
    """By another person, for the six hardware files as they were, and for longer micro-batches on one card."""
    assert training(**changes).line(size_of(CONFIGS[model])).total == pytest.approx(peak, rel=0.15)


@pytest.mark.parametrize(("model", "host"), [("7b", 122), ("8b", 128), ("14b", 236)])
def test_what_is_offloaded_is_16_bytes_a_weight(model, host):
    size = size_of(CONFIGS[model])

    assert training(offload=True).host(size) == pytest.approx(host, abs=1)
    assert training(offload_moments=False).host(size) == 0
    assert training(offload=True, per_node=2).host(size) == pytest.approx(host / 2, abs=1), "two nodes share it"


def test_sizes_are_those_of_the_loaded_model(world):
    model = AutoModelForCausalLM.from_pretrained(world["policy"])
    size = size_of(model.config)

    assert size.total == size.trainable == sum(p.numel() for p in model.parameters())
    assert size.ends == model.get_input_embeddings().weight.numel(), "the head is the embedding"
    assert size.block == sum(p.numel() for p in model.model.layers[0].parameters())
    cache = model(torch.tensor([[1, 2, 3]]), use_cache=True).past_key_values
    stored = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    assert size.key_values * 3 == stored


@pytest.mark.parametrize("targets", ["all-linear", ("q_proj", "v_proj")])
def test_adapters_are_those_of_peft(world, targets):
    from peft import LoraConfig, get_peft_model

    model = AutoModelForCausalLM.from_pretrained(world["policy"])
    size = size_of(model.config, 16, targets)
    wanted = list(targets) if isinstance(targets, tuple) else targets
    adapted = get_peft_model(model, LoraConfig(r=16, target_modules=wanted, task_type="CAUSAL_LM"))

    assert size.trainable == sum(p.numel() for p in adapted.parameters() if p.requires_grad)


def test_weights_gradients_and_moments_are_those_of_a_step(world):
    model = AutoModelForCausalLM.from_pretrained(world["policy"], dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters())
    ids = torch.randint(0, 200, (2, 16))
    model(ids, labels=ids).loss.backward()
    optimizer.step()
    moments = [v for state in optimizer.state.values() for k, v in state.items() if k.startswith("exp_avg")]
    parts = training(shards=1, per_node=1).line(size_of(model.config)).parts

    for name, tensors in {
        "weights": list(model.parameters()),
        "gradients": [p.grad for p in model.parameters()],
        "optimizer": moments,
    }.items():
        assert parts[name] * GB == pytest.approx(sum(t.nbytes for t in tensors))


def test_logits_are_those_of_a_micro_batch(models):
    with_flash = reckon(
        grpo(models["7b"], "hardware=1gpu_7b", "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=10240")
    )
    one = 10240 * QWEN_7B["vocab_size"] * 2 / GB

    assert with_flash.lines[0].parts["logits"] == pytest.approx(WITH_FLASH * one)
    sdpa = "++actor_rollout_ref.model.override_config.attn_implementation=sdpa"
    without = reckon(
        grpo(models["7b"], "hardware=1gpu_7b", "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=10240", sdpa)
    )
    assert without.lines[0].parts["logits"] == pytest.approx(WITHOUT_FLASH * one)


@pytest.mark.parametrize("hardware", ["1gpu_7b", "1gpu_8b", "1gpu_14b", "8gpu_7b", "8gpu_8b", "8gpu_14b"])
def test_every_hardware_file_fits_its_cards(models, hardware):
    found = list(check_memory(grpo(models[hardware.partition("_")[2]], f"hardware={hardware}")))

    assert found == []


def test_the_configuration_is_read_for_both_mains(models):
    config = grpo(
        models["7b"],
        "hardware=1gpu_7b",
        "trainer.n_gpus_per_node=4",
        "trainer.nnodes=2",
        "actor_rollout_ref.actor.fsdp_config.offload_policy=false",
        "actor_rollout_ref.actor.fsdp_config.param_offload=true",
    )
    read = Training.of(config, 8, 4)
    assert (read.shards, read.per_node, read.offload, read.offload_weights) == (8, 4, False, True)
    assert reckon(config).resident == pytest.approx(7.616 * 8 / 8, abs=0.01), "the moments stay on the card"

    read = Training.of(sft(models["7b"], "data.use_dynamic_bsz=false", "data.micro_batch_size_per_gpu=3"), 1, 1)
    assert (read.tokens, read.weight, read.checkpointing) == (3 * 8192, 4, True)


def test_14b_on_one_card_needs_a_base_of_two_bytes_a_weight(models):
    (note,) = check_memory(sft(models["14b"]))
    assert isinstance(note, Note) and "weights 59" in note.reason and "engine.model_dtype=bf16" in note.next_step
    assert list(check_memory(sft(models["14b"], "engine.model_dtype=bf16"))) == []


def test_weights_and_optimizer_above_the_card_are_refused(models):
    (problem,) = check_memory(sft(models["7b"], "model.lora_rank=0"))

    assert isinstance(problem, Problem) and "91 GB" in problem.reason and "80" in problem.reason
    assert "engine.offload_policy=true" in problem.next_step
    offloaded = sft(models["7b"], "model.lora_rank=0", "engine.offload_policy=true", "engine.strategy=fsdp2")
    assert list(check_memory(offloaded)) == []


@pytest.mark.parametrize(
    ("changes", "doubt"),
    [
        (["ray_kwargs.ray_init.address=10.0.0.1:6379"], "sinternal.hardware.gpu_memory_gb"),
        (["actor_rollout_ref.rollout.quantization=fp8"], "quantized"),
        (["actor_rollout_ref.rollout.expert_parallel_size=8"], "experts"),
        (["actor_rollout_ref.actor.optim.optimizer=SGD"], "Adam"),
    ],
)
def test_what_the_reckoning_cannot_know_warns_and_refuses_nothing(models, changes, doubt):
    tight = [models["14b"], "hardware=1gpu_14b", "actor_rollout_ref.rollout.gpu_memory_utilization=0.3"]
    assert any(isinstance(finding, Problem) for finding in check_memory(grpo(*tight)))
    found = list(check_memory(grpo(*tight, *changes)))

    assert found and all(isinstance(finding, Note) and doubt in finding.reason for finding in found)


def test_sft_outside_torchrun_is_not_refused_for_its_number_of_processes(models, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE")
    (note,) = check_memory(sft(models["7b"], "model.lora_rank=0"))

    assert isinstance(note, Note) and "torchrun" in note.reason


def test_the_host_must_hold_what_is_offloaded(models, monkeypatch):
    monkeypatch.setattr(fits, "host_gb", lambda: 100.0)
    config = grpo(models["7b"], "hardware=1gpu_7b")
    (problem,) = check_memory(config)

    assert isinstance(problem, Problem)
    assert problem.key == "actor_rollout_ref.actor.fsdp_config.offload_policy"
    assert "122 GB" in problem.reason and "100" in problem.reason
    elsewhere = grpo(models["7b"], "hardware=1gpu_7b", "ray_kwargs.ray_init.address=10.0.0.1:6379")
    assert list(check_memory(elsewhere)) == [], "a cluster's nodes are not this machine"


def test_the_card_is_this_machines_where_it_has_one(models, monkeypatch):
    monkeypatch.setattr(fits, "cards_here", lambda: (("A card", 141.0), ("Small card", 24.0)))
    config = sft(models["7b"])

    assert "24 GB (this machine's Small card)" in memory_table(config)
    (problem,) = check_memory(config)
    assert isinstance(problem, Problem) and "has 24" in problem.reason


def test_a_card_that_the_hardware_file_names(models):
    config = sft(models["7b"], "++sinternal.hardware.gpu_memory_gb=40")

    assert "40 GB (the hardware file's)" in memory_table(config)
    (note,) = check_memory(config)
    assert isinstance(note, Note) and "of 40" in note.reason


@pytest.mark.parametrize(
    ("overrides", "kind", "words"),
    [
        (["actor_rollout_ref.rollout.gpu_memory_utilization=0.1"], Problem, "its weights take 15 GB"),
        (["actor_rollout_ref.rollout.gpu_memory_utilization=0.216"], Note, "one text may have 10240"),
        (
            [
                "actor_rollout_ref.rollout.free_cache_engine=false",
                "actor_rollout_ref.rollout.gpu_memory_utilization=0.8",
            ],
            Note,
            "beside it",
        ),
    ],
)
def test_vllm_within_its_share(models, overrides, kind, words):
    (finding,) = check_memory(grpo(models["7b"], "hardware=1gpu_7b", *overrides))

    assert isinstance(finding, kind) and words in finding.reason
    assert finding.key == "actor_rollout_ref.rollout.gpu_memory_utilization"


def test_a_guard_has_a_line_and_must_fit_its_share(models):
    guard = ["guard=ray_actor", f"sinternal.guard.engine.model={models['8b']}", "hardware=8gpu_7b"]
    assert "guard" in memory_table(grpo(models["7b"], *guard))

    (problem,) = check_memory(grpo(models["7b"], *guard, "sinternal.guard.engine.gpu_memory_utilization=0.15"))
    assert isinstance(problem, Problem) and problem.key == "sinternal.guard.engine.gpu_memory_utilization"


def test_small_models_and_cpu_runs_are_left_alone(grpo_config, sft_config):
    assert memory_table(grpo_config()) is None and memory_table(sft_config()) is None
    for config in (grpo_config("trainer.device=cuda"), sft_config("trainer.device=cuda")):
        assert list(check_memory(config)) == []
        assert "training" in memory_table(config)


def test_a_model_that_cannot_be_built_is_no_refusal(sft_config, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "qwen2", "num_attention_heads": 0}')
    found = list(check_memory(sft_config("trainer.device=cuda", f"model.path={tmp_path}")))

    assert [type(finding) for finding in found] == [Note] and "cannot be reckoned" in found[0].reason


def test_doctor_shows_the_table(models, capsys):
    doctor(["+recipe=sinternal_sft", f"model.path={models['7b']}"])

    shown = capsys.readouterr().out
    assert "memory as reckoned" in shown and "training" in shown and "optimizer" in shown


def test_the_checks_of_a_run_hold_it(models):
    keys = {
        finding.key for finding in run_checks(sft(models["7b"], "model.lora_rank=0")) if "weights" in finding.reason
    }

    assert "model.path" in keys


def test_cards_are_asked_of_nvidia_smi(tmp_path, monkeypatch):
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 81559'\necho 'NVIDIA X, [N/A]'\n")
    smi.chmod(smi.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    machine.cards_here.cache_clear()
    try:
        assert machine.cards_here() == (("NVIDIA H100 80GB HBM3", pytest.approx(85.5, abs=0.1)),)
    finally:
        machine.cards_here.cache_clear()


def test_host_memory_is_at_most_what_a_container_may_have(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    limit.write_text("2000000000\n")
    monkeypatch.setattr(machine, "CGROUP_LIMITS", (str(limit), str(tmp_path / "absent")))

    assert machine.host_gb() == 2.0
    limit.write_text("max\n")
    assert machine.host_gb() > 2.0
