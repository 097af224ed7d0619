"""A guard for tests, taught in half a minute: it knows the rules of the lighthouse and nothing else."""

import random
from pathlib import Path

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from sinternal_verl.guard.template import GuardTemplate
from sinternal_verl.world import lighthouse
from sinternal_verl.world.guard import make_guard_tokenizer

STEPS, BATCH, RATE = 400, 16, 3e-3


def teach_guard(folder: Path, seed: int = 0) -> Path:
    """Write a Hugging Face folder (Qwen2, 0.2 M parameters) and return it."""
    tokenizer = make_guard_tokenizer(lighthouse.corpus(), vocab_size=768)
    template = GuardTemplate(tokenizer, max_tokens=1900)
    rows = [
        (
            template.render(user, answer).ids,
            [*tokenizer.encode(verdict, add_special_tokens=False), tokenizer.eos_token_id],
        )
        for user, answer, verdict in lighthouse.conversations()
    ]
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model, rng = Qwen2ForCausalLM(config), random.Random(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (step + 1) / 20) * (1 - step / STEPS))
    for _ in range(STEPS):
        batch = rng.sample(rows, BATCH)
        longest = max(len(prompt) + len(verdict) for prompt, verdict in batch)
        ids = torch.full((BATCH, longest), tokenizer.pad_token_id)
        labels = torch.full((BATCH, longest), -100)
        for number, (prompt, verdict) in enumerate(batch):
            end = len(prompt) + len(verdict)
            ids[number, :end] = torch.tensor(prompt + verdict)
            labels[number, len(prompt) : end] = torch.tensor(verdict)
        model(input_ids=ids, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
