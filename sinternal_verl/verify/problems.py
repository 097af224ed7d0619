"""Every fault in the settings of a build, found before anything starts."""

import math
import resource
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

from omegaconf import DictConfig, OmegaConf

from sinternal_verl.credentials import KeyFault, origin_of
from sinternal_verl.data.specification import SpecificationError, load_specification
from sinternal_verl.data.template import TARGETS, PromptError, VerificationPrompt
from sinternal_verl.did_you_mean import did_you_mean, did_you_mean_file
from sinternal_verl.doctor.guard import check_guard
from sinternal_verl.doctor.pretrained import context_of, read_config, too_long
from sinternal_verl.doctor.problem import Problem, problems_of
from sinternal_verl.doctor.settings import check_settings
from sinternal_verl.scoring.response import Thought
from sinternal_verl.verify.budget import LONGEST, TEMPLATE_TOKENS
from sinternal_verl.verify.origin import is_of_hub, is_path, weights_of
from sinternal_verl.verify.parameters import check_parameters, is_count, is_number
from sinternal_verl.verify.settings import (
    BUDGETS,
    BUILD,
    WITHOUT_EXPERT,
    Stage,
    checks_expert,
    shard_of,
    share_of,
)
from sinternal_verl.verify.shapes import mend_shapes, shown
from sinternal_verl.verify.writer import WriterSettings, key_for

HELP = "sinternal-verl verify build --help"

SPARE_FILES = 64
"""What a command has open beside its connections: the store, its files, libraries. 10 were counted."""


def find_problems(config: DictConfig, stages: Sequence[Stage] = BUILD) -> list[Problem]:
    """Every problem that these stages would meet, found before anything starts."""
    config, misplaced = mend_shapes(config)
    missing, values = _missing(config, stages), _values(config, stages)
    checks = (missing, values, check_settings(config), _writers(config, stages), _files(config), _guard(config))
    named = {problem.key for problem in misplaced}
    return [*misplaced, *(problem for found in checks for problem in found if problem.key not in named)]


def _missing(config: DictConfig, stages: Sequence[Stage]) -> Iterator[Problem]:
    steps = {
        "prompts": "name a file of harmful and benign requests, e.g. of `sinternal-verl data safety`",
        "out": "name a folder, e.g. out=outputs/verify",
        "policy.model": "name the model that is to verify its own answers",
    }
    if set(stages) - WITHOUT_EXPERT:
        steps["expert.model"] = "name the model that writes the critiques"
    for key, step in steps.items():
        if not OmegaConf.select(config, key):
            yield Problem(key, None, "this has no default", step)
    if config.answers == "other" and config.other.model == config.policy.model:
        yield Problem("other.model", config.other.model, "answers=other needs another model", "give other.model")


def _values(config: DictConfig, stages: Sequence[Stage]) -> Iterator[Problem]:
    for key, choices in (
        ("answers", ("self", "other")),
        ("target", TARGETS),
        ("label", (None, "harmful", "benign")),
    ):
        if config[key] not in choices:
            step = f"choose {', '.join(filter(None, choices))}"
            if config[key] == "answer":
                step = "the baselines' whole answers are made by `sinternal-verl data sft`"
            yield Problem(key, config[key], "there is no such choice", step)
    if not config.store:
        yield Problem("store", shown(config.store), "replies are kept in a file", "leave it out, or name one")
    if not is_count(config.samples, 1):
        yield Problem("samples", config.samples, "it must be a positive number", "the paper takes 8")
    if not is_number(config.seed) or not isinstance(config.seed, int):
        yield Problem("seed", config.seed, "it must be an integer", "give one")
    if not is_number(config.fraction) or not 0 < config.fraction <= 1:
        yield Problem("fraction", config.fraction, "it must be in (0, 1]", "1 takes all, 0.5 half")
    if "merge" in stages and config.shard is not None:
        yield Problem("shard", config.shard, "the whole is merged, and no part of it", "leave shard out")
    if shard_of(config.shard) is None and config.shard is not None:
        yield Problem("shard", config.shard, "it must be i/n with 0 <= i < n", "e.g. shard=0/8")
    for load, key in ((load_specification, "specification"), (VerificationPrompt.load, "prompt")):
        try:
            load(None if key == "prompt" and config[key] is None else str(config[key]))
        except (SpecificationError, PromptError) as error:
            yield Problem(key, config[key], str(error), "give one that is there")


def _writers(config: DictConfig, stages: Sequence[Stage]) -> Iterator[Problem]:
    who = {
        "sample": "policy" if config.answers == "self" else "other",
        "critique": "expert",
        "evaluate": "verifier",
    }
    names = [who[stage] for stage in stages if stage in who]
    if checks_expert(config, stages) and "expert" not in names:
        names.append("expert")
    for name in names:
        writer = config[name]
        unknown = [key for key in writer if key not in WriterSettings.__dataclass_fields__]
        for key in unknown:
            near = did_you_mean(key, WriterSettings.__dataclass_fields__)
            yield Problem(f"{name}.{key}", writer[key], f"there is no such key{near}", f"`{HELP}` shows all keys")
        yield from _numbers(name, writer)
        yield from check_parameters(name, writer)
        yield from _money(name, writer)
        # The expert's first request is the check.
        least = 2 if name == "expert" and checks_expert(config, stages) else 1
        yield from _shares(name, writer, (shard_of(config.shard) or (0, 1))[1], least)
        if writer.get("thought", "none") not in get_args(Thought):
            yield Problem(f"{name}.thought", writer.thought, "there is no such choice", "choose required or none")
        if writer.url and not _is_address(str(writer.url)):
            yield Problem(f"{name}.url", writer.url, "this is no address", "e.g. http://127.0.0.1:8000/v1")
        elif writer.url:
            yield from _key(name, writer)
        if writer.model and not writer.url:
            yield from _engine(name, str(writer.model), writer.engine)
            yield from _weights(name, str(writer.model), writer)


def _numbers(name: str, writer: DictConfig) -> Iterator[Problem]:
    if not is_number(writer.patience_s) or writer.patience_s < 0:
        yield Problem(f"{name}.patience_s", shown(writer.patience_s), "it must be a number of seconds", "correct it")
    if not is_number(writer.timeout_s) or writer.timeout_s <= 0:
        reason = "it must be a positive number of seconds"
        yield Problem(f"{name}.timeout_s", shown(writer.timeout_s), reason, "correct it")
    if (
        writer.url
        and is_count(writer.concurrency, 1)
        and writer.concurrency + SPARE_FILES > (files := _files_at_once())
    ):
        reason = f"each request has a connection, and this process may have {files:,} files open"
        step = f"lower it, or `ulimit -n {writer.concurrency + SPARE_FILES}` before the command"
        yield Problem(f"{name}.concurrency", writer.concurrency, reason, step)
    for key, least in (("concurrency", 1), ("retries", 0), *((budget, 1) for budget in BUDGETS)):
        unlimited = key in BUDGETS and writer[key] is None
        if not unlimited and not is_count(writer[key], least):
            yield Problem(f"{name}.{key}", shown(writer[key]), f"it must be at least {least}", "correct it")
    if not isinstance(writer.api_key_over_http, bool):
        key, value = f"{name}.api_key_over_http", shown(writer.api_key_over_http)
        yield Problem(key, value, "it must be true or false", "correct it")


def _files_at_once() -> float:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if most == resource.RLIM_INFINITY else most


def _shares(name: str, writer: DictConfig, parts: int, requests: int) -> Iterator[Problem]:
    """Budgets of a whole build whose share for a part, see `share_of`, holds too little. Part 0 has the least.

    Args:
        requests: how many the part needs at least.
    """
    if parts == 1:
        return
    limit, budget = (writer[key] if is_count(writer[key], 1) else None for key in BUDGETS)
    if limit is not None and (share := share_of(limit, (0, parts))) < requests:
        reason = f"{limit:,} for {parts} parts leaves part 0 {share or 'none'}"
        reason += ", which the check of the expert takes" if share else ""
        step = f"give {name}.max_requests={requests * parts} or more, or fewer parts"
        yield Problem(f"{name}.max_requests", limit, reason, step)
    longest = next((writer.request[key] for key in LONGEST if is_count(writer.request.get(key), 1)), 0)
    most, context = longest + TEMPLATE_TOKENS, None if writer.url else writer.engine.get("max_model_len")
    most = min(most, context) if is_count(context, 1) else most
    if budget is not None and (share := share_of(budget, (0, parts))) < most:
        reason = f"{budget:,} for {parts} parts leaves part 0 {share:,}, and one request may take {most:,}"
        step = f"give {name}.budget_tokens={most * parts} or more, fewer parts, or a lower {name}.request.max_tokens"
        yield Problem(f"{name}.budget_tokens", budget, reason, step)


def _money(name: str, writer: DictConfig) -> Iterator[Problem]:
    prices = {key: writer[key] for key in ("price_per_million_input", "price_per_million_output")}
    for key, price in prices.items():
        if price is not None and not (is_number(price) and price >= 0):
            yield Problem(f"{name}.{key}", price, "it must be a price", "e.g. 3.0, or null where it is not known")
    if (absent := [key for key, price in prices.items() if price is None]) and len(absent) < len(prices):
        yield Problem(f"{name}.{absent[0]}", None, "a cost takes both prices", "give it, too")
    if writer.budget_tokens is not None and writer.url and not any(writer.request.get(key) for key in LONGEST):
        step = f"give {name}.request.max_tokens, or max_completion_tokens where the server wants that name"
        yield Problem(f"{name}.budget_tokens", writer.budget_tokens, "nothing bounds what a reply may cost", step)


def _is_address(url: str) -> bool:
    try:
        scheme, host, port = origin_of(url)
    except ValueError:
        return False
    return scheme in ("http", "https") and bool(host and port)


def _key(name: str, writer: DictConfig) -> Iterator[Problem]:
    """A key that is not set, or that would go where others can read it."""
    try:
        key_for(str(writer.url), writer.api_key_env, writer.api_key_over_http is True)
    except KeyFault as fault:
        step = f"{fault.next_step}, or {name}.api_key_env=null for a server that asks for no key"
        yield Problem(f"{name}.api_key_env", fault.shown, fault.reason, step)


def _engine(name: str, model: str, engine: DictConfig) -> Iterator[Problem]:
    """Problems of a model that vLLM would run in this process."""
    key, length, folder = f"{name}.engine.max_model_len", engine.get("max_model_len"), Path(model).expanduser()
    if not is_count(length, 1):
        yield Problem(key, shown(length), "it must be a number of tokens", "give prompt and reply room, e.g. 16384")
        return
    if folder.is_absolute() and not folder.is_dir():
        yield Problem(
            f"{name}.model",
            model,
            f"no such folder{did_you_mean_file(model)}",
            "give a folder that exists, or a hub id",
        )
        return
    found = None if "hf_overrides" in engine else read_config(model, bool(engine.get("trust_remote_code")))
    context = context_of(found) if found else None
    if reason := too_long(length, context):
        yield Problem(key, length, reason, f"{key}={context}")


def _weights(name: str, model: str, writer: DictConfig) -> Iterator[Problem]:
    """Weights that could not be told from others of the same name."""
    if is_path(model, served=False):
        if writer.revision:
            step = f"leave out {name}.revision"
            yield Problem(f"{name}.revision", writer.revision, "a folder is known by its files", step)
    elif is_of_hub(model) and weights_of(model, writer.revision, served=False) is None:
        reason = "it is not in the hub's cache, and the hub names no commit of it"
        step = "check the id, the network and `hf auth login`, or give a folder"
        yield Problem(f"{name}.model", model, reason, step)


def _files(config: DictConfig) -> Iterator[Problem]:
    for key, names in (("prompts", [config.prompts] if config.prompts else []), ("against", config.against)):
        for name in names:
            path = Path(str(name).partition("#")[0]).expanduser()
            if path.suffix and not path.is_file():
                yield Problem(
                    key, name, f"this file does not exist{did_you_mean_file(path)}", "give a file, or a hub id"
                )
    if config.out and Path(config.out).expanduser().is_file():
        yield Problem("out", config.out, "this is a file", "give a folder")


def _guard(config: DictConfig) -> Iterator[Problem]:
    backend = config.sinternal.guard.backend
    if backend not in (None, "openai_endpoint"):
        step = "run `sinternal-verl guard serve`, and take guard=openai_endpoint"
        yield Problem("guard", backend, "a build starts no guard", step)
    elif backend:
        yield from problems_of(check_guard(config))
