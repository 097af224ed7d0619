"""Pages of made runs, in which every text is harmful to show if it is shown wrongly."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from made_runs import make_grpo

from sinternal_verl.report.compose import make_page
from sinternal_verl.report.read import read_run
from sinternal_verl.report.run import Rollouts, Texts, places_within
from sinternal_verl.report.view import Page

ATTACKS = (
    "<script>window.hacked = 1; alert(1)</script>",
    "</script><script>window.hacked = 1</script>",
    "</pre></details></style></title></textarea><img src=x onerror='window.hacked = 1'>",
    "<svg onload=\"window.hacked = 1\"><a href='javascript:window.hacked = 1'>here</a></svg>",
    "<iframe srcdoc=\"<script>parent.hacked = 1</script>\"></iframe><base href='http://127.0.0.1:9/'>",
    "<meta http-equiv=refresh content='0;url=data:text/html,<script>alert(1)</script>'>",
    "<link rel=stylesheet href='http://127.0.0.1:9/x.css'><style>@import 'http://127.0.0.1:9/y.css';</style>",
    "<!-- <script> --!> ]]> <![CDATA[ <!--<script>window.hacked = 1</script>",
    "javascript:window.hacked = 1",
    "data:text/html,<script>alert(1)</script>",
    "{{ 7 * 7 }} {% raw %} ${window.hacked = 1} `${alert(1)}` \\u003cscript\\u003e",
    '" onmouseover=\'window.hacked = 1\' autofocus onfocus="window.hacked = 1" x="',
    "line\u2028separator\u2029 next\x85 nul\x00 bell\x07 escape\x1b[31m backspace\x08",
    "safe \u202eelif.exe\u202c \u2066isolated\u2069 \u200bzero \ufeffwidth \U000e0041tag",
    "half \ud800 and other half \udc00 surrogate",
    "e\u0301" * 40 + "\u0300" * 200,
)


def read_page(folder: Path, **made: Any) -> Page:
    """The page of a made GRPO run."""
    return make_page([read_run(make_grpo(folder, **made))])


def attacked(value: Any) -> Any:
    """A value with an attack beside every string in it, as deep as it goes. Strings that are alike stay alike, since
    names of metrics and ids of charts lead from one part to another."""
    if isinstance(value, str):
        return attack(value)
    if isinstance(value, dict):
        return {attacked(key): attacked(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(attacked(each) for each in value)
    if isinstance(value, Rollouts):
        names = {name: attacked(each) for name, each in value.names.items()}
        texts = {number: _texts(number) for number in value.texts}
        return replace(value, names=names, texts=texts, extra=attacked(value.extra))
    if hasattr(value, "__dataclass_fields__"):
        return replace(
            value, **{each.name: attacked(getattr(value, each.name)) for each in fields(value) if _free(each)}
        )
    return value


def attack(text: str) -> str:
    return text and text + ATTACKS[sum(text.encode("utf-8", "surrogatepass")) % len(ATTACKS)]


def _free(field: Any) -> bool:
    """Whether a field may be any text: levels and filters' columns are ours."""
    return field.name not in ("level", "direction", "filter", "folder", "kind", "time")


def _texts(number: int) -> Texts:
    first, second = ATTACKS[number % len(ATTACKS)], ATTACKS[(number * 7 + 3) % len(ATTACKS)]
    return Texts(first + second, second, None if number % 5 == 0 else first, second, {first: second, "verdict": first})


def large_page(page: Page, rollouts: int, steps: int, *, texts: int = 0, characters: int = 1000) -> Page:
    """A page with so many rollouts of so many steps, made of numbers drawn by a seed; the last tenth is held out."""
    chance = np.random.default_rng(1)
    number = np.arange(rollouts)
    held_out = number >= rollouts - rollouts // 10
    step = np.where(held_out, (number - held_out.argmax()) * (steps // 10) // max(held_out.sum(), 1) * 10, 0)
    step = np.where(held_out, step, 1 + number * steps // max((~held_out).sum(), 1))
    sources = [f"safety/source {n}" for n in range(6)]
    outcomes = ["safe", "unsafe", "controversial", "refused", "correct", "mismatch", "unparsable"]
    words = chance.choice([f"word{n}" for n in range(5000)], size=(max(texts, 1), characters // 7))
    outcome = chance.integers(0, len(outcomes), rollouts)
    run = replace(
        page.views[0].run,
        rollouts=Rollouts(
            held_out=held_out,
            step=step.astype(np.int32),
            within=places_within(held_out, step),
            source=(number // 8 % len(sources)).astype(np.int32),
            outcome=outcome.astype(np.int32),
            reason=np.where(outcome == 6, 0, -1).astype(np.int32),
            row=(number // 8).astype(np.int32),
            group=(number // 8).astype(np.int32),
            place=(number % 8).astype(np.int32),
            score=np.where(outcome == 6, np.nan, outcome % 2).astype(np.float32),
            advantage=np.where(held_out, np.nan, chance.normal(size=rollouts)).astype(np.float32),
            safe_probability=chance.random(rollouts).astype(np.float32),
            length=chance.integers(1, 8192, rollouts).astype(np.int32),
            scored=(outcome != 6).astype(np.int8),
            truncated=(chance.random(rollouts) < 0.05).astype(np.int8),
            set_aside=(outcome == 6).astype(np.int8),
            cut=np.zeros(rollouts, np.int8),
            extra={"words": chance.integers(1, 3000, rollouts).astype(np.float32)},
            names={
                "source": sources,
                "outcome": outcomes,
                "reason": ["the guard gave no verdict"],
                "row": [f"prompt {n}" for n in range(rollouts // 8 + 1)],
            },
            texts={n: Texts("Where is the lamp?", " ".join(words[n]), "It burns.") for n in range(texts)},
            files=(),
        ),
    )
    return replace(page, views=(replace(page.views[0], run=run),))
