"""The command as a user calls it: every recipe, every format, and what cannot be planned."""

import contextlib
import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import Gemma3TextConfig, LlamaConfig, MistralConfig, MixtralConfig, Qwen2_5_VLConfig, Qwen2Config

from sinternal_verl import attention
from sinternal_verl.cli import main
from sinternal_verl.config import compose_config
from sinternal_verl.doctor.fits import reckon
from sinternal_verl.plan import generation
from sinternal_verl.plan.cards import card_of
from sinternal_verl.plan.factors import Factors
from sinternal_verl.plan.grpo import grpo_step
from sinternal_verl.plan.setup import set_up
from sinternal_verl.plan.sizes import known_models, size_of_model, sliding_window

SEVEN, FOURTEEN = (f"deepseek-ai/DeepSeek-R1-Distill-Qwen-{size}B" for size in (7, 14))
POLICY = f"actor_rollout_ref.model.path={SEVEN}"
GRPO = ("+recipe=sinternal_grpo", POLICY)
SFT = ("+recipe=sinternal_sft", f"model.path={SEVEN}", "trainer.n_gpus_per_node=8")


@pytest.fixture(autouse=True, scope="module")
def coarse():
    """A simulation of few steps: the same code in a quarter of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "CHUNKS", 48)
        yield


@pytest.fixture(autouse=True)
def with_flash_attn(monkeypatch):
    monkeypatch.setattr(attention, "has_flash_attn", lambda: True)


def planned(capsys, *words) -> dict:
    assert main(["plan", *words, "--card", "h100", "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def default() -> dict:
    """The plan of the recipe as it is, on one node and on more."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setattr(attention, "has_flash_attn", lambda: True)
        assert main(["plan", *GRPO, "--card", "h100", "--format", "json", "--nodes", "1,2,4,...,64"]) == 0
    return json.loads(out.getvalue())


def value(plan: dict, name: str) -> float:
    return next(figure["value"] for figure in plan["figures"] if figure["name"] == name)


@pytest.mark.parametrize(
    "words",
    [
        GRPO,
        (*GRPO, "hardware=8gpu_14b", f"actor_rollout_ref.model.path={FOURTEEN}"),
        (*GRPO, "hardware=1gpu_7b", "guard=openai_endpoint", "sinternal.guard.url=http://host:1/v1"),
        (*GRPO, "guard=verl_router"),
        ("+recipe=sinternal_grpo_lora", POLICY, "guard=none"),
        ("+recipe=sinternal_sft", f"model.path={SEVEN}", "trainer.n_gpus_per_node=8"),
    ],
    ids=["8gpu", "14b", "1gpu", "router", "lora", "sft"],
)
def test_each_recipe_has_a_plan_with_every_formula(capsys, words):
    assert main(["plan", *words, "--card", "h100"]) == 0

    text = capsys.readouterr().out
    for section in ("GB a card", "a step", "disk", "the run", "assumed"):
        assert section in text, section
    assert "nan" not in text and "inf" not in text


def test_the_phases_add_up_and_have_ranges(default):
    phases = [figure for figure in default["figures"] if figure["section"] == "a step" and figure["unit"] == "s"]

    *parts, step = phases
    assert step["name"] == "step" and step["value"] == pytest.approx(sum(part["value"] for part in parts))
    assert all(part["low"] < part["value"] < part["high"] for part in parts)
    assert value(default, "cost") == pytest.approx(value(default, "run") * default["cards"])
    assert {name for figure in default["figures"] for name in figure["assumes"]} == set(default["factors"])


def test_memory_is_what_doctor_reckons(default):
    config = compose_config(list(GRPO))
    needs = reckon(config, (80.0, "h100's"), size_of_model=size_of_model)

    for line in needs.lines:
        assert value(default, f"{line.role}: all") == pytest.approx(line.total)
    assert value(default, "host of a node, for what is offloaded") == pytest.approx(needs.host)


def test_csv_has_a_row_for_each_figure_and_each_number_of_nodes(capsys):
    assert main(["plan", *GRPO, "--card", "h100", "--format", "csv", "--nodes", "1,2"]) == 0

    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {"step", "cost", "training: logits"} <= {row["name"] for row in rows}
    assert all(float(row["low"]) <= float(row["value"]) * 1.001 for row in rows)
    assert [row["section"] for row in rows[-10:]] == ["1 nodes"] * 5 + ["2 nodes"] * 5


def test_more_nodes_take_less_time_each_and_cost_more(default):
    sizes = default["growth"]

    assert [size["nodes"] for size in sizes] == [1, 2, 4, 8, 16, 32, 64]
    steps, costs = ([size[name] for size in sizes] for name in ("step", "gpu_hours"))
    assert steps == sorted(steps, reverse=True) and costs == sorted(costs)
    assert sizes[0]["efficiency"] == 1.0 and sizes[-1]["efficiency"] < 0.1
    assert sizes[-1]["waits"] == "gen: the longest response"


def test_a_faster_card_and_a_smaller_model_take_less_time():
    config, typical = compose_config(list(GRPO)), Factors.at("typical")
    seconds = [grpo_step(set_up(config, card_of(card)), typical).seconds for card in ("a100", "h100", "h200", "b200")]
    large = compose_config([*GRPO, "hardware=8gpu_14b", f"actor_rollout_ref.model.path={FOURTEEN}"])

    assert seconds == sorted(seconds, reverse=True)
    assert grpo_step(set_up(large, card_of("h100")), typical).seconds > seconds[1]


def test_a_number_of_nodes_on_which_the_run_does_not_fit_says_so(capsys):
    words = ["model.lora_rank=0", "data.max_token_len_per_gpu=8192", "--card", "a100-40", "--nodes", "1,8"]
    main(["plan", *SFT, f"model.path={FOURTEEN}", *words])

    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    header = next(row for row in rows if row[:2] == ["nodes", "cards"])
    one, eight = (row for row in rows if row and row[0] in ("1", "8") and "100%" in row)
    assert "fits" in header and "no" in one and "yes" in eight


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            [*GRPO, "sinternal.guard.engine.model=some/guard"],
            "sinternal.guard.engine.model=some/guard: its size is not",
        ),
        ([*GRPO, "guard=none", "actor_rollout_ref.actor.strategy=megatron"], "the times of training are those of FSDP"),
        ([*SFT, "engine.strategy=megatron"], "engine.strategy=megatron: the times"),
        ([*GRPO, "guard=none", "data.max_response_length=16384"], "as long as with 8,192"),
        ([*SFT, "data.val_files=/abs/val.parquet"], "SFT's validation is not counted"),
        ([*GRPO, "sinternal.guard.num_gpus=0"], "sinternal.guard.num_gpus=0: the guard runs on the processors"),
        ([*GRPO, "actor_rollout_ref.rollout.quantization=fp8"], "rollout.quantization=fp8: vLLM's weights are"),
    ],
)
def test_what_a_plan_does_not_count_is_noted(capsys, words, says):
    main(["plan", *words, "--card", "h100"])

    assert any(line.startswith("note: ") and says in line for line in capsys.readouterr().out.splitlines())


def test_lengths_that_are_given_count(capsys):
    plan = planned(capsys, *GRPO, "--response-tokens", "1000", "--prompt-tokens", "200", "--prompts", "640")

    assert value(plan, "mean response") == pytest.approx(1000)
    assert value(plan, "tokens") == pytest.approx(512 * 1200)
    assert value(plan, "steps of an epoch") == 10


def test_rows_are_read_where_the_files_are_here(capsys, tmp_path):
    sources = ["safety/harmful/a"] * 96 + ["math"] * 32
    prompt = [{"role": "user", "content": "x" * 400}]
    table = pa.table({"prompt": [prompt] * 128, "data_source": sources})
    pq.write_table(table, tmp_path / "train.parquet")
    files = [f"data.{part}_files={tmp_path / 'train.parquet'}" for part in ("train", "val")]

    plan = planned(capsys, *GRPO, *files)

    assert value(plan, "steps of an epoch") == 2
    assert value(plan, "judged by the guard") == 0.75 * 512
    assert value(plan, "validating") > 0
    assert not any("not here" in note for note in plan["notes"])


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        ((*SFT, "trainer.total_training_steps=7"), 7),
        ((*SFT, "trainer.total_training_steps=1000", "trainer.total_epochs=1"), 93),
        ((*SFT, "trainer.total_training_steps=1000", "trainer.total_epochs=3"), 279),
        ((*SFT, "data.train_max_samples=640"), 20),
        ((*SFT, "data.train_max_samples=640", "--prompts", "320"), 10),
        ((*GRPO, "guard=none", "trainer.total_training_steps=1000"), 93),
        ((*GRPO, "guard=none", "data.train_max_samples=640"), 10),
    ],
)
def test_a_run_ends_with_its_rows_its_epochs_or_its_steps(capsys, words, steps):
    plan = planned(capsys, *words, "--nodes", "1")

    assert value(plan, "steps") == steps
    assert plan["growth"][0]["hours"] == pytest.approx(value(plan, "run"))
    # A last step is saved by the SFT main in any case, and by GRPO as save_freq says.
    assert value(plan, "saving") > 0


def test_validations_count_those_before_training_and_the_rows_that_are_taken(capsys, tmp_path):
    pq.write_table(pa.table({"prompt": ["x" * 400] * 128, "data_source": ["math"] * 128}), tmp_path / "val.parquet")
    words = (*GRPO, "guard=none", f"data.val_files={tmp_path / 'val.parquet'}")

    once = planned(capsys, *words, "trainer.test_freq=-1")
    never = planned(capsys, *words, "trainer.test_freq=-1", "trainer.val_before_train=false")
    few = planned(capsys, *words, "trainer.test_freq=-1", "data.val_max_samples=8")

    assert value(once, "validating") > value(few, "validating") > value(never, "validating") == 0


def test_sft_saves_its_last_step_whatever_save_freq_says(capsys):
    assert value(planned(capsys, *SFT, "trainer.save_freq=-1"), "checkpoints") > 0


def test_a_guard_that_holds_more_cards_than_it_needs_is_named(default):
    assert any("the guard holds 4 cards, and 1 would keep up" in note for note in default["notes"])


def test_a_configuration_that_does_not_fit_says_what_would(capsys):
    words = ["+recipe=sinternal_sft", f"model.path={FOURTEEN}", "--card", "h100"]

    assert main(["plan", *words]) == 0, "a peak that is reckoned too high is no reason to refuse, as in doctor"
    said = capsys.readouterr().err
    assert "does not fit cards of 80 GB" in said and "reckoned at" in said
    change = said.rpartition("reckoned to fit: ")[2].strip()
    assert "=" in change
    assert main(["plan", *words, *change.partition(", with")[0].split()]) == 0
    assert capsys.readouterr().err == "", change


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([*GRPO, "actor_rollout_ref.rollout.tensor_model_parallel_size=16"], "do not divide into engines of 16"),
        ([*GRPO, "trainer.n_gpus_per_node=8"], "the guard has no replica"),
        ([*GRPO, "trainer.n_gpus_per_node=3", "guard=none"], "would pad them"),
        ([*SFT, "trainer.n_gpus_per_node=7"], "does not divide by 7 processes"),
    ],
)
def test_a_run_that_would_not_start_says_so(capsys, words, says):
    assert main(["plan", *words, "--card", "h100", "--format", "json"]) == 2

    out, err = capsys.readouterr()
    assert "the run would not start" in err and says in err
    assert any(says in found["reason"] for found in json.loads(out)["refusals"])


def test_weights_that_cannot_fit_end_with_2(capsys):
    words = ["+recipe=sinternal_sft", f"model.path={SEVEN}", "model.lora_rank=0", "--card", "a100-40"]

    assert main(["plan", *words]) == 2
    assert "weights and optimizer take" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([*GRPO, "--card", "h10"], "did you mean h100"),
        ([*GRPO, "--nodes", "0"], "--nodes 0"),
        ([*GRPO, "--nodes", "two"], "--nodes two"),
        ([*GRPO, "--nodes", "1,...,8"], "two numbers stand before"),
        ([*GRPO, "--nodes", ","], "no number"),
        ([*GRPO, "--nodes", "1,3,...,4095"], "these are 2048 numbers"),
        ([*GRPO, "--nodes", "²"], "--nodes ²"),
        ([*GRPO, "trainer.nnodes=0"], "trainer.nnodes = 0"),
        ([*GRPO, "actor_rollout_ref.rollout.max_num_seqs=0"], "max_num_seqs = 0"),
        ([*GRPO, "actor_rollout_ref.rollout.tensor_model_parallel_size=0"], "tensor_model_parallel_size = 0"),
        ([*GRPO, "actor_rollout_ref.rollout.gpu_memory_utilization=1.5"], "gpu_memory_utilization = 1.5"),
        ([*GRPO, "actor_rollout_ref.actor.ppo_mini_batch_size=0"], "ppo_mini_batch_size = 0"),
        ([*GRPO, "actor_rollout_ref.rollout.n=1"], "GRPO compares the responses to one prompt"),
        ([*GRPO, "actor_rollout_ref.actor.ppo_epochs=0"], "ppo_epochs = 0"),
        ([*GRPO, "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=0"], "ppo_max_token_len_per_gpu = 0"),
        ([*SFT, "data.max_token_len_per_gpu=0"], "max_token_len_per_gpu = 0"),
        ([*GRPO, "data.train_batch_size=0"], "data.train_batch_size = 0"),
        ([*GRPO, "--response-tokens", "0"], "--response-tokens 0"),
        ([*GRPO, "--response-tokens", "nan"], "--response-tokens nan"),
        ([*GRPO, "--prompts", "10"], "10 rows make no step of 64"),
        ([*GRPO, "data.train_batchsize=1"], "data.train_batch_size"),
        (["+recipe=sinternal_grpo"], "actor_rollout_ref.model.path is not given"),
        (["+recipe=sinternal_grpo", "actor_rollout_ref.model.path=some/model"], "its size is not known"),
        (["+recipe=sinternal_grpo_cpu", POLICY], "flops="),
    ],
)
def test_what_cannot_be_planned_is_named_with_the_next_step(capsys, words, says):
    card = [] if "--card" in words or "+recipe=sinternal_grpo_cpu" in words else ["--card", "h100"]

    assert main(["plan", *words, *card]) == 2
    assert says in capsys.readouterr().err


def test_a_model_with_experts_is_refused(capsys, tmp_path):
    small = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    MixtralConfig(**small, num_key_value_heads=2, architectures=["MixtralForCausalLM"]).save_pretrained(tmp_path)

    assert main(["plan", "+recipe=sinternal_grpo", f"actor_rollout_ref.model.path={tmp_path}", "--card", "h100"]) == 2
    assert "experts" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (Qwen2Config(num_hidden_layers=0), "it has no block with attention"),
        (Qwen2_5_VLConfig(), "Unrecognized configuration class"),
    ],
)
def test_a_model_whose_size_cannot_be_reckoned_is_named_in_a_line(capsys, tmp_path, config, says):
    config.save_pretrained(tmp_path)

    assert main(["plan", "+recipe=sinternal_grpo", f"actor_rollout_ref.model.path={tmp_path}", "--card", "h100"]) == 2
    said = capsys.readouterr().err
    assert says in said and len(said) < 400


def test_an_engines_cards_share_what_a_step_reads(capsys):
    plan = planned(capsys, *GRPO, "guard=none", "actor_rollout_ref.rollout.tensor_model_parallel_size=2")

    formula = next(figure["formula"] for figure in plan["figures"] if figure["name"] == "gen")
    assert "7.1 GB of weights and 29 kB a token" in formula


def test_a_folder_with_a_configuration_alone_is_enough(capsys, tmp_path):
    Qwen2Config(num_hidden_layers=2, architectures=["Qwen2ForCausalLM"]).save_pretrained(tmp_path)

    plan = planned(capsys, "+recipe=sinternal_grpo", f"actor_rollout_ref.model.path={tmp_path}", "guard=none")

    assert plan["weights"] > 0 and value(plan, "step") > 0


@pytest.mark.parametrize(
    ("config", "window"),
    [
        (Gemma3TextConfig(num_hidden_layers=6, sliding_window=512), 512),
        (MistralConfig(sliding_window=4096), 4096),
        (MistralConfig(sliding_window=None), None),
        (Qwen2Config(sliding_window=4096, use_sliding_window=False), None),
        (Qwen2Config(num_hidden_layers=8, sliding_window=4096, use_sliding_window=True, max_window_layers=4), 4096),
        (LlamaConfig(), None),
    ],
)
def test_blocks_that_attend_to_a_window_are_found(config, window, tmp_path):
    config.save_pretrained(tmp_path)

    assert sliding_window(str(tmp_path)) == window


@pytest.mark.parametrize("path", known_models())
def test_a_known_model_has_the_size_of_its_name(path):
    billions = float(path.rpartition("-")[2].removesuffix("B"))

    assert size_of_model(path).total / 1e9 == pytest.approx(billions, rel=0.3)


def test_flash_attn_is_planned_as_it_is_there(monkeypatch):
    assert attention.attention() == "flash_attention_2"
    monkeypatch.undo()
    with attention.assuming(True):
        assert attention.attention() == "flash_attention_2"
        with attention.assuming(False):
            assert attention.attention() == "sdpa"
