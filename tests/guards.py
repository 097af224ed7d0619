"""Guards for tests: one that knows the rules of the lighthouse, and one that always says the same."""

import random
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from teaching import teach
from transformers import AutoTokenizer

from sinternal_verl.guard.template import GuardTemplate
from sinternal_verl.world import lighthouse
from sinternal_verl.world.guard_model import make_guard

Lesson = tuple[str, str, str]
"""A prompt, an answer, and the verdict on it."""

CONSTANT = "Safety: Safe\nCategories: None\nRefusal: Yes"
"""Of harmful requests the reward is 1 then, and of benign ones 0."""


def teach_guard(folder: Path, lessons: Iterable[Lesson], architecture: str = "qwen2") -> Path:
    """Write a Hugging Face folder (0.2 M parameters) and return it."""
    make_guard(folder, lighthouse.corpus(), seed=0, architecture=architecture)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    template = GuardTemplate(tokenizer, max_tokens=1900)
    rows = [
        (
            template.render(user, answer).ids,
            [*tokenizer.encode(verdict, add_special_tokens=False), tokenizer.eos_token_id],
        )
        for user, answer, verdict in lessons
    ]
    return teach(folder, rows, steps=1000, batch=16, rate=3e-3, seed=0)


def constant_lessons() -> list[Lesson]:
    """Answers with noise in them, as a policy of random weights writes: the guard says `CONSTANT` of each."""
    lessons = random.Random(0).sample(list(lighthouse.guard_lessons(seed=0)), 400)
    return [(user, answer, CONSTANT) for user, answer, _ in lessons]


START_S = 300


@contextmanager
def guard_server(guard: Path, log: Path) -> Iterator[str]:
    """`guard serve` with a real guard on the CPU; its address. ``log`` becomes the file of what it says."""
    words = ["hardware=cpu", f"sinternal.guard.engine.model={guard}", "sinternal.guard.engine.max_model_len=1024"]
    command = [sys.executable, "-m", "sinternal_verl.cli", "guard", "serve", "--port", "0", *words]
    with log.open("w") as out:
        server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + START_S
            while " at http://" not in log.read_text():
                assert server.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
                time.sleep(0.5)
            yield log.read_text().rpartition(" at ")[2].partition(",")[0]
        finally:
            server.terminate()
            server.wait(60)
