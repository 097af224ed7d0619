"""What `sinternal-verl export` writes is read by transformers, by vLLM and, of an adapter, by peft: each answers with
the same greedy tokens as the weights that were trained."""

import copy
import json
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import export_readers
import pytest
import torch
from checkpoints import play_ranks, save_checkpoint
from peft import LoraConfig, get_peft_model
from tokenizers import AddedToken
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from sinternal_verl.commands.export import export
from sinternal_verl.runs.launch import end_session
from sinternal_verl.world import arithmetic
from sinternal_verl.world.policy_model import make_policy

pytestmark = [pytest.mark.slow, pytest.mark.versions, pytest.mark.timeout(900)]

LIMIT_S = 400


@dataclass(frozen=True)
class Kind:
    """
    Attributes:
        architecture: transformers' ``model_type``.
        tied: whether embedding and head are.
        rows: of the embedding, a multiple of it: published models are padded so.
        added: tokens that were added to the tokenizer later; the first is special.
    """

    architecture: str
    tied: bool
    dtype: torch.dtype = torch.float32
    rows: int = 1
    added: tuple[str, ...] = ()


ADDED = ("<lamp>", "<bell>")
KINDS = {
    "qwen2": Kind("qwen2", True, rows=128),
    "qwen3": Kind("qwen3", False, torch.bfloat16, added=ADDED),
    "llama": Kind("llama", False),
    "qwen3_tied": Kind("qwen3", True, rows=128, added=ADDED),
    "llama_tied": Kind("llama", True, torch.bfloat16, added=ADDED),
}
LONG = ("qwen3_tied", "llama_tied")
"""Those that `make test` leaves out."""

LORA = {"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM"}
ADAPTERS = {"head": ["q_proj", "down_proj", "lm_head"], "layers": ["q_proj", "up_proj"]}


@dataclass(frozen=True)
class Exported:
    """Folders that were exported, by name, with the answers of the weights that were trained."""

    base: Path
    folders: dict[str, Path]
    answers: dict[str, export_readers.Answers]


def base_of(folder: Path, kind: Kind) -> Path:
    make_policy(folder, arithmetic.corpus(), seed=1, architecture=kind.architecture)
    tokenizer, config = AutoTokenizer.from_pretrained(folder), AutoConfig.from_pretrained(folder)
    tokenizer.add_tokens([AddedToken(token, special=not place) for place, token in enumerate(kind.added)])
    tokenizer.save_pretrained(folder)
    config.tie_word_embeddings = kind.tied
    config.vocab_size = -(-len(tokenizer) // kind.rows) * kind.rows
    torch.manual_seed(2)
    # Drawn in float32: in bfloat16 each version of torch draws other weights.
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).to(kind.dtype)
    model.generation_config = GenerationConfig.from_pretrained(folder)
    model.save_pretrained(folder)
    return folder


@torch.no_grad()
def learn(model: torch.nn.Module, scale: float) -> None:
    for weight in model.parameters():
        if weight.requires_grad:
            weight.add_(scale * torch.randn_like(weight))


def rounded(model: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    """The model with weights of a dtype, which still computes in float32: so do the readers."""
    for weight in model.parameters():
        weight.data = weight.data.to(dtype).float()
    return model


def end_with(folder: Path, answer: list[int]) -> None:
    """Let the last token that is new in the first half of this answer end every answer, by ``generation_config.json``
    alone. A token that is new at the end of it would make no answer shorter."""
    config = GenerationConfig.from_pretrained(folder)
    half = range(1, export_readers.TOKENS // 2)
    config.eos_token_id = [config.eos_token_id, answer[max(p for p in half if answer[p] not in answer[:p])]]
    config.save_pretrained(folder)


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.long] * (name in LONG)) for name in KINDS]
)
def exported(request, tmp_path_factory) -> Exported:
    folder, kind = tmp_path_factory.mktemp(request.param), KINDS[request.param]
    base = base_of(folder / "base", kind)
    tokenizer, answers, made = AutoTokenizer.from_pretrained(base), {}, {}
    play_ranks(4)
    try:
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        learn(model, 0.02)
        exact = copy.deepcopy(model)
        end_with(base, export_readers.by_model(rounded(exact, kind.dtype), tokenizer)[0][1])
        model.generation_config = GenerationConfig.from_pretrained(base)
        save_checkpoint(folder / "whole_run", model.state_dict(), base, (2, 2))
        answers["whole"] = export_readers.by_model(rounded(model, kind.dtype), tokenizer)
        for name, targets in ADAPTERS.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # peft's of tied modules
                model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
                model = get_peft_model(model, LoraConfig(**LORA, target_modules=targets))
            learn(model, 0.1)
            save_checkpoint(folder / f"{name}_run", model.state_dict(), base, (4,), lora=LORA)
            exact = copy.deepcopy(model)
            answers[f"{name}_adapter"] = export_readers.by_model(rounded(model, kind.dtype), tokenizer)
            # Of tied parameters peft's own merging would change both.
            merged = exact if kind.tied else exact.merge_and_unload()
            answers[f"{name}_fused"] = export_readers.by_model(rounded(merged, kind.dtype), tokenizer)
    finally:
        torch.distributed.destroy_process_group()
    for name in answers:
        run = f"{name.partition('_')[0]}_run"
        made[name] = folder / name
        assert export(str(folder / run), str(made[name]), str(base), name.endswith("adapter")) == 0
    return Exported(base, made, answers)


def test_the_answers_are_worth_comparing(exported):
    said = [[made for _, made in answers] for answers in exported.answers.values()]
    assert len(said[0][0]) < export_readers.TOKENS  # ended by generation_config.json
    assert len({str(each) for each in said}) > 2
    assert max(len(set(made)) for each in said for made in each) > 4


@pytest.mark.parametrize("reader", ["transformers", "vllm"])
def test_the_whole_model_answers_as_trained(exported, reader):
    names = [name for name in exported.folders if not name.endswith("adapter")]
    found = read(reader, *(exported.folders[name] for name in names))

    assert dict(zip(names, found, strict=True)) == {name: exported.answers[name] for name in names}


@pytest.mark.parametrize("reader", ["peft", "vllm_lora"])
def test_the_adapter_answers_as_trained(exported, reader):
    # Of a Qwen2 vLLM takes no adapter of the head: it has no `embedding_modules`. (0.24 and 0.27)
    names = ["layers_adapter", *(["head_adapter"] if reader == "peft" else [])]
    found = read(reader, *(f"{exported.base}:{exported.folders[name]}" for name in names))

    assert dict(zip(names, found, strict=True)) == {name: exported.answers[name] for name in names}


@pytest.mark.long
def test_vllm_serves_the_folders_as_trained(exported):
    """`vllm serve FOLDER`, and one server of the base with the adapter."""
    found = read("serve", exported.folders["whole"])
    found += read("serve_lora", f"{exported.base}:{exported.folders['layers_adapter']}")

    assert found == [exported.answers["whole"], exported.answers["layers_adapter"]]


def read(reader: str, *folders: Path | str) -> list[export_readers.Answers]:
    command = [sys.executable, export_readers.__file__, reader, *map(str, folders)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        output, errors = process.communicate(timeout=LIMIT_S)
    finally:
        end_session(process)  # and its server
    assert process.returncode == 0, output[-1000:] + errors[-3000:]
    lines = [line.removeprefix("ANSWERS ") for line in output.splitlines() if line.startswith("ANSWERS ")]
    return [[tuple(answer) for answer in json.loads(line)] for line in lines]
