"""Faults in what is sent with every request: its parameters, and the values of the chat template."""

import math
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig

from sinternal_verl.doctor.problem import Problem
from sinternal_verl.verify.budget import LONGEST
from sinternal_verl.verify.shapes import shown
from sinternal_verl.verify.writer import TEMPLATE_KEY, TEMPLATE_VALUES

OURS = {
    "n": ("one reply to each request is read", "leave it out; samples=... says how many answers a prompt has"),
    "stream": ("a reply is read whole", "leave it out"),
    "messages": ("the build writes the conversation", "leave it out; prompt=... names another template"),
    "model": ("a reply is stored under the name of the build's model", "leave it out; the key model is beside request"),
    TEMPLATE_VALUES: (
        "the chat template's values have a key of their own, which a model in this process reads, too",
        f"write it beside request, e.g. +policy.{TEMPLATE_KEY}.enable_thinking=false; replies that are stored stay so",
    ),
    "seed": ("each answer has a seed of its own, and a critique has none", "leave it out; seed=... is for all answers"),
}
"""Keys of a request that a build sets itself: why, and what to do."""

RENDERING = {
    *("messages", "conversation", "tools", "documents", "chat_template", "add_generation_prompt", "tokenize"),
    *("continue_final_message", "padding", "truncation", "max_length", "return_tensors", "return_dict"),
    *("return_assistant_tokens_mask", "tokenizer_kwargs"),
}
"""What transformers' `apply_chat_template` takes besides a template's own values. It says how a prompt is rendered."""


def check_parameters(name: str, writer: DictConfig) -> Iterator[Problem]:
    """Parameters that would make a build fail, or store replies under a key that says another thing.

    Args:
        name: the writer's key.
    """
    yield from _request(name, writer.request)
    yield from _template(name, writer)


def is_number(value: Any) -> bool:
    """YAML's true is no number, though Python's is; nan and inf count nothing either."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def is_count(value: Any, least: int) -> bool:
    return is_number(value) and isinstance(value, int) and value >= least


def _request(name: str, request: DictConfig) -> Iterator[Problem]:
    for key in LONGEST:
        if request.get(key) is not None and not is_count(request[key], 1):
            step = "give one, e.g. 2048, or null where nothing is to bound a reply"
            yield Problem(f"{name}.request.{key}", request[key], "it must be a positive number of tokens", step)
    for key, (reason, step) in OURS.items():
        if request.get(key) is None or (key == "n" and is_count(request.n, 1) and request.n == 1):
            continue
        yield Problem(f"{name}.request.{key}", request[key], reason, step)


def _template(name: str, writer: DictConfig) -> Iterator[Problem]:
    """Values of the chat template that are none, or that do not fit how the reply is read."""
    values = writer[TEMPLATE_KEY]
    for key in values:
        if key in RENDERING:
            reason = "this is no value of a chat template: it says how a prompt is rendered, which training decides"
            step = "leave it out; what a template takes is, for instance, enable_thinking"
            yield Problem(f"{name}.{TEMPLATE_KEY}.{key}", shown(values[key]), reason, step)
    if values.get("enable_thinking") is False and writer.get("thought") == "required":
        reason = f"with {TEMPLATE_KEY}.enable_thinking=false a model writes no thought, so no answer would be read"
        yield Problem(f"{name}.thought", writer.thought, reason, f"{name}.thought=none")
