"""Teach a small model by plain torch, in seconds: what a test needs, without a run of verl."""

import random
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

LEARNED = 1e-3
"""Loss, smoothed, at which it is done."""


Rows = list[tuple[list[int], list[int]]]
"""Token ids of prompts and of completions."""


def teach(folder: Path, rows: Rows, steps: int, batch: int, rate: float, seed: int) -> Path:
    """Train the model in ``folder`` on the rows, the loss on completions, and save it there."""
    # More threads wait for each other: beside another busy process, twice as many take ten times as long.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    rng = random.Random(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (step + 1) / 20) * (1 - step / steps))
    smoothed = 1.0
    for _ in range(steps):
        chosen = rng.sample(rows, batch)
        longest = max(len(prompt) + len(completion) for prompt, completion in chosen)
        ids = torch.full((batch, longest), tokenizer.pad_token_id)
        labels = torch.full((batch, longest), -100)
        for number, (prompt, completion) in enumerate(chosen):
            end = len(prompt) + len(completion)
            ids[number, :end] = torch.tensor(prompt + completion)
            labels[number, len(prompt) : end] = torch.tensor(completion)
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        smoothed = 0.9 * smoothed + 0.1 * loss.item()
        if smoothed < LEARNED:
            break
    torch.set_num_threads(threads)
    model.save_pretrained(folder)
    return folder
