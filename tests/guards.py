"""A guard for tests, taught in a minute or two: it knows the rules of the lighthouse and nothing else."""

import random
from pathlib import Path

import torch
from transformers import AutoTokenizer, Qwen2ForCausalLM

from sinternal_verl.guard.template import GuardTemplate
from sinternal_verl.world import lighthouse
from sinternal_verl.world.guard import make_guard

STEPS, BATCH, RATE = 600, 16, 3e-3
LEARNED = 1e-3
"""Loss, smoothed, at which it is done."""


def teach_guard(folder: Path, seed: int = 0) -> Path:
    """Write a Hugging Face folder (Qwen2, 0.2 M parameters) and return it."""
    make_guard(folder, lighthouse.corpus(), seed)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), Qwen2ForCausalLM.from_pretrained(folder)
    template, rng = GuardTemplate(tokenizer, max_tokens=1900), random.Random(seed)
    rows = [
        (
            template.render(user, answer).ids,
            [*tokenizer.encode(verdict, add_special_tokens=False), tokenizer.eos_token_id],
        )
        for user, answer, verdict in lighthouse.guard_lessons(seed)
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (step + 1) / 20) * (1 - step / STEPS))
    smoothed = 1.0
    for _ in range(STEPS):
        batch = rng.sample(rows, BATCH)
        longest = max(len(prompt) + len(verdict) for prompt, verdict in batch)
        ids = torch.full((BATCH, longest), tokenizer.pad_token_id)
        labels = torch.full((BATCH, longest), -100)
        for number, (prompt, verdict) in enumerate(batch):
            end = len(prompt) + len(verdict)
            ids[number, :end] = torch.tensor(prompt + verdict)
            labels[number, len(prompt) : end] = torch.tensor(verdict)
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        smoothed = 0.9 * smoothed + 0.1 * loss.item()
        if smoothed < LEARNED:
            break
    model.save_pretrained(folder)
    return folder
