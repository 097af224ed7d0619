"""A guard for tests: it knows the rules of the lighthouse and nothing else."""

from pathlib import Path

from teaching import teach
from transformers import AutoTokenizer

from sinternal_verl.guard.template import GuardTemplate
from sinternal_verl.world import lighthouse
from sinternal_verl.world.guard_model import make_guard


def teach_guard(folder: Path, seed: int = 0, architecture: str = "qwen2") -> Path:
    """Write a Hugging Face folder (0.2 M parameters) and return it."""
    make_guard(folder, lighthouse.corpus(), seed, architecture=architecture)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    template = GuardTemplate(tokenizer, max_tokens=1900)
    rows = [
        (
            template.render(user, answer).ids,
            [*tokenizer.encode(verdict, add_special_tokens=False), tokenizer.eos_token_id],
        )
        for user, answer, verdict in lighthouse.guard_lessons(seed)
    ]
    return teach(folder, rows, steps=1000, batch=16, rate=3e-3, seed=seed)
