"""The words of a call of `sinternal-verl eval`: its models and its plan, and all that is wrong with them, before
anything starts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from inspect_ai.model import GenerateConfig

from sinternal_verl.evaluation.running.cast import UNDER_TEST, Cast, read_judges, read_keys
from sinternal_verl.evaluation.running.plan import RATER, PlanError, Planned, Request, make_plan
from sinternal_verl.evaluation.running.probe import server_problems
from sinternal_verl.evaluation.running.vllm_command import CONNECTIONS

PARALLEL = "tensor-parallel-size"
"""The option of ``vllm serve`` by which GPUs are counted."""


@dataclass(frozen=True)
class Words:
    """What a user gives, as it is typed; see `sinternal-verl eval --help`."""

    model: str | None = None
    suite: str = "paper"
    tasks: str | None = None
    judges: Sequence[str] = ()
    rater: str | None = None
    sources: Sequence[str] = ()
    limit: int | None = None
    seed: int | None = None
    api_key_env: Sequence[str] = ()
    parameters: Sequence[str] = ()
    judge_settings: Sequence[str] = ()
    serve: Sequence[str] = ()
    connections: int = CONNECTIONS


class BadWords(ValueError):
    """The words do not fit together; the message has a line for each thing that is wrong."""


@dataclass(frozen=True)
class Asked:
    """A call that can begin.

    Attributes:
        cast: its models.
        plan: its tasks.
        limit, seed: see `sinternal_verl.evaluation.running.suite.run_suite`.
    """

    cast: Cast
    plan: Sequence[Planned]
    limit: int | None = None
    seed: int | None = None

    @property
    def called(self) -> str:
        """The name of the model under test."""
        return self.cast.choices[UNDER_TEST].called

    def configuration(self) -> dict[str, Any]:
        """What decides the figures."""
        tasks = {}
        for each in self.plan:
            told = each.task.metadata or {}
            tasks[each.name] = {
                # A newer version of this package reads the same set.
                "set": {key: value for key, value in told.get("origin", {}).items() if key != "version"},
                "decoding": told.get("decoding"),
                "roles": dict(each.roles),
                "parameters": {key: value for key, value in each.arguments.items() if key != "source"},
            }
        return {"models": self.cast.origin(), "tasks": tasks, "limit": self.limit, "seed": self.seed}


def read_words(words: Words) -> Asked:
    """The call that the words make. Servers that were named are asked for their models and for a word; nothing is
    started.

    Raises:
        BadWords: see there.
    """
    cast, wrong = Cast(), []
    keys = read_keys(words.api_key_env)
    try:
        judges = read_judges(words.judges) | ({RATER: words.rater} if words.rater else {})
    except ValueError as error:
        judges = {}
        wrong.append(str(error))
    parameters = read_values(words.parameters, "-T", wrong)
    serve = dict(read_values(words.serve, "--serve", wrong))
    if not isinstance(serve.get(PARALLEL, 1), int):
        wrong.append(f"--serve {PARALLEL}={serve.pop(PARALLEL)}: give a number of GPUs")
    if words.model is None:
        wrong.append("--model is missing: a folder, a hub id, a server's address or a name of Inspect")
    else:
        wrong += cast.choose(UNDER_TEST, words.model, keys.get(UNDER_TEST), serve)
    wrong += cast.add_judges(judges, keys)
    cast.share_gpus()
    wrong += cast.add_settings(read_values(words.judge_settings, "-J", wrong))
    wrong += cast.setting_problems()
    if words.limit is not None and words.limit < 1:
        wrong.append(f"--limit {words.limit}: give a number of 1 or more")
    if words.connections < 1:
        wrong.append(f"--connections {words.connections}: give a number of 1 or more")
    tasks = [name.strip() for name in (words.tasks or "").split(",") if name.strip()]
    if words.tasks is not None and not tasks:
        wrong.append("--tasks names none; write --tasks strongreject,math500")
    plan: list[Planned] = []
    try:
        plan = make_plan(Request(words.suite, tasks, cast.settings, dict(_sources(words.sources)), parameters))
    except PlanError as error:
        wrong += str(error).splitlines()
    wrong += _too_long(plan, cast)
    if not wrong:
        wrong += server_problems(cast.choices, cast.settings, _decodings(plan, words.seed))
    if wrong:
        raise BadWords("\n".join(dict.fromkeys(wrong)))
    return Asked(cast, plan, words.limit, words.seed)


def _decodings(plan: Sequence[Planned], seed: int | None) -> list[GenerateConfig]:
    """The different ways in which the model is asked."""
    configs = [each.task.config.model_copy(update={"max_tokens": None, "seed": seed}) for each in plan]
    return list({config.model_dump_json(): config for config in configs}.values())


def _too_long(plan: Sequence[Planned], cast: Cast) -> Iterator[str]:
    """Tasks whose answers have no room in the model's context: a server would refuse each of their requests."""
    choice = cast.choices.get(UNDER_TEST)
    if choice is None or choice.kind == "inspect":
        return
    context = choice.max_model_len
    if wanted := cast.wanted().get(UNDER_TEST):
        context = wanted.options.get("max-model-len", wanted.max_model_len)
    # vLLM takes words such as 16k, too, and reads them itself.
    if not isinstance(context, int):
        return
    late = [each for each in plan if (each.task.config.max_tokens or 0) >= context]
    if late:
        names, tokens = ", ".join(each.name for each in late), max(each.task.config.max_tokens for each in late)
        yield (
            f"{choice.given}: its context is {context} tokens, and {names} ask for answers of {tokens}; "
            f"give -T max_tokens=N with room for the prompts, such as {context // 2}"
        )


def _sources(given: Sequence[str]) -> Iterator[tuple[str, str]]:
    """``set=FILE``, or a path for all others."""
    for word in given:
        name, equals, file = word.partition("=")
        # A path may hold an equals sign; a set's name holds no slash.
        yield (name, file) if equals and "/" not in name else ("", word)


def read_values(given: Sequence[str], option: str, wrong: list[str]) -> Mapping[str, Any]:
    """The values of an option's words, each ``NAME=VALUE``; what cannot be read is added to ``wrong``."""
    found = {}
    for word in given:
        name, equals, value = word.partition("=")
        if not equals or not name:
            wrong.append(f"{option} {word}: write {option} NAME=VALUE")
            continue
        try:
            found[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            wrong.append(f"{option} {word}: this value cannot be read: {str(error).splitlines()[0]}")
    return found
