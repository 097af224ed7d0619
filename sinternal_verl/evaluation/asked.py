"""The words of a call of `sinternal-verl eval`: the model, its judges and the plan, and all that is wrong with them
before anything starts."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from inspect_ai.model import Model

from sinternal_verl.did_you_mean import did_you_mean
from sinternal_verl.evaluation.judges import JUDGES
from sinternal_verl.evaluation.models import Choice, asked_server, choice_problems, open_model, read_choice
from sinternal_verl.evaluation.plan import RATER, PlanError, Planned, Request, make_plan
from sinternal_verl.evaluation.serving import CPU_SHARE, MAX_MODEL_LEN, Server, Wanted, runs_on_cpu, serving

UNDER_TEST = "model"
"""The name of the model under test, beside those of judges."""

OWN_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    # WildGuard has no chat template of its own.
    "wildguard": {"chat-template": str(Path(__file__).parent / "judges" / "wildguard.jinja")}
}
"""Options with which the model of a judge is served."""


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
    serve: Sequence[str] = ()


class BadWords(ValueError):
    """The words do not fit together; the message has a line for each thing that is wrong."""


@dataclass(frozen=True)
class Asked:
    """A call that can begin.

    Attributes:
        choices: the model under test and those of judges, by `UNDER_TEST` and the judges' names.
        plan: the tasks.
        limit, seed: see `sinternal_verl.evaluation.suite.run_suite`.
    """

    choices: Mapping[str, Choice]
    plan: Sequence[Planned]
    limit: int | None = None
    seed: int | None = None
    wanted: Mapping[str, Wanted] = field(default_factory=dict)

    def configuration(self) -> dict[str, Any]:
        """What decides the figures."""
        return {
            "models": {name: choice.origin() for name, choice in self.choices.items()},
            "tasks": {
                each.name: {
                    "set": (each.task.metadata or {}).get("origin"),
                    "judge": dict(each.roles),
                    "parameters": {key: value for key, value in each.arguments.items() if key != "source"},
                }
                for each in self.plan
            },
            "limit": self.limit,
            "seed": self.seed,
        }

    @contextmanager
    def opened(self, logs: Path, connections: int) -> Iterator[tuple[Model, dict[str, Model], list[Server]]]:
        """The model under test, the judges' models, and the servers that run here for them while the block runs.

        Raises:
            ServerFailed: one does not start.
        """
        with ExitStack() as stack:
            different = list({each.served_as: each for each in self.wanted.values()}.values())
            servers = stack.enter_context(serving(different, logs)) if different else []
            by_name = {server.name: server for server in servers}
            models = {}
            for name, choice in self.choices.items():
                server = by_name[self.wanted[name].served_as] if name in self.wanted else None
                models[name] = open_model(choice, connections, server)
            yield models[UNDER_TEST], models, servers


def read_words(words: Words) -> Asked:
    """The call that the words make. Servers that were named are asked for their models; nothing is started.

    Raises:
        BadWords: see there.
    """
    wrong: list[str] = []
    judges = _pairs(words.judges, "--judge", wrong)
    if words.rater is not None:
        judges[RATER] = words.rater
    keys = {name or UNDER_TEST: variable for name, variable in _keys(words.api_key_env).items()}
    sources = {name: file for name, file in _sources(words.sources)}
    parameters = _parameters(words.parameters, wrong)
    serve = _parameters(words.serve, wrong, "--serve")
    choices: dict[str, Choice] = {}
    settings: dict[str, dict[str, Any]] = {}
    if words.model is None:
        wrong.append("--model is missing: a folder, a hub id, a server's address or a name of Inspect")
    else:
        _choose(UNDER_TEST, words.model, keys, serve, choices, wrong)
    for name, model in judges.items():
        if name not in JUDGES:
            continue  # the plan says so
        settings[name] = {}
        needs = JUDGES[name].needs
        if needs == "nothing" and model:
            wrong.append(f"--judge {name}={model}: this judge asks no model; write --judge {name}")
        elif needs != "nothing" and not model:
            wrong.append(f"--judge {name}: it needs a model ({JUDGES[name].model}); write --judge {name}=MODEL")
        elif needs == "model":
            _choose(name, model, keys, OWN_OPTIONS.get(name, {}), choices, wrong)
        elif needs == "guard":
            settings[name] = _guard_settings(name, model, keys.get(name), wrong)
    for name in keys:
        if name not in (UNDER_TEST, *judges):
            wrong.append(f"--api-key-env {name}=...: neither a judge nor the model{did_you_mean(name, judges)}")
    if words.limit is not None and words.limit < 1:
        wrong.append(f"--limit {words.limit}: give a number of 1 or more")
    tasks = [name.strip() for name in (words.tasks or "").split(",") if name.strip()]
    if words.tasks is not None and not tasks:
        wrong.append("--tasks names none; write --tasks strongreject,math500")
    given = {name: settings.get(name, {}) for name in judges}
    plan: list[Planned] = []
    try:
        plan = make_plan(Request(words.suite, tasks, given, sources, parameters))
    except PlanError as error:
        wrong += str(error).splitlines()
    wanted = _wanted(choices)
    if UNDER_TEST in wanted:
        wrong += _too_long(plan, wanted[UNDER_TEST])
    if wrong:
        raise BadWords("\n".join(dict.fromkeys(wrong)))
    return Asked(choices, plan, words.limit, words.seed, wanted)


def _choose(
    name: str,
    given: str,
    keys: Mapping[str, str],
    options: Mapping[str, Any],
    choices: dict[str, Choice],
    wrong: list[str],
) -> None:
    try:
        choice = read_choice(given, keys.get(name), options)
        problems = list(choice_problems(choice))
        if choice.kind == "server" and not problems:
            choice = asked_server(choice)
    except ValueError as error:
        wrong.append(str(error))
        return
    wrong += problems
    choices[name] = choice


def _wanted(choices: Mapping[str, Choice]) -> dict[str, Wanted]:
    """What is to be served, by the name of its user. Who names the same model shares a server."""
    wanted: dict[str, Wanted] = {}
    served: dict[tuple, str] = {}
    for name, choice in choices.items():
        if not choice.is_served:
            continue
        what = (choice.name, choice.revision, tuple(sorted(choice.options.items())))
        if what not in served:
            taken = set(served.values())
            served[what] = next(
                each
                for each in (choice.called, *(f"{choice.called}-{number}" for number in range(2, len(choices) + 2)))
                if each not in taken
            )
        wanted[name] = choice.wanted(served[what])
    return wanted


def _too_long(plan: Sequence[Planned], wanted: Wanted) -> Iterator[str]:
    """Tasks whose answers have no room in the model's context: a server would refuse each of their requests."""
    context = wanted.options.get("max-model-len", wanted.max_model_len)
    if context is None:
        return
    late = [each for each in plan if (each.task.config.max_tokens or 0) >= int(context)]
    if late:
        names, tokens = ", ".join(each.name for each in late), max(each.task.config.max_tokens for each in late)
        yield (
            f"{wanted.model}: its context is {context} tokens, and {names} ask for answers of {tokens}; "
            f"give -T max_tokens=N with room for the prompts, such as {int(context) // 2}"
        )


def _guard_settings(name: str, model: str, api_key_env: str | None, wrong: list[str]) -> dict[str, Any]:
    """Settings of the guard, which takes token ids: behind a server, or in this process."""
    try:
        choice = read_choice(model, api_key_env)
        problems = list(choice_problems(choice))
        if choice.kind == "server" and not problems:
            choice = asked_server(choice)
        elif choice.kind == "inspect":
            problems.append(f"--judge {name}={model}: it takes token ids; give a folder, a hub id or a server of vLLM")
    except ValueError as error:
        wrong.append(str(error))
        return {}
    wrong += problems
    if choice.kind == "server":
        key = {"api_key_env": api_key_env} if api_key_env else {}
        return {"url": choice.url, "served_as": choice.name, "guard": choice.name, **key}
    longest = choice.wanted(choice.called).max_model_len or MAX_MODEL_LEN
    engine: dict[str, Any] = {"max_model_len": longest}
    if runs_on_cpu():
        engine |= {"dtype": "float32", "enforce_eager": True, "gpu_memory_utilization": CPU_SHARE}
    return {"guard": choice.name, "max_model_len": longest, "engine": engine}


def _pairs(given: Sequence[str], option: str, wrong: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in given:
        name, _, value = word.partition("=")
        if name in found:
            wrong.append(f"{option} {name} is given twice")
        found[name] = value
    return found


def _keys(given: Sequence[str]) -> dict[str, str]:
    """``VARIABLE``, or ``judge=VARIABLE``; the empty name stands for the model."""
    return {name if equals else "": variable if equals else name for name, equals, variable in map(_split, given)}


def _split(word: str) -> tuple[str, str, str]:
    return word.partition("=")


def _sources(given: Sequence[str]) -> Iterator[tuple[str, str]]:
    """``set=FILE``, or a path for all others."""
    for word in given:
        name, equals, file = word.partition("=")
        # A path may hold an equals sign; a set's name holds no slash.
        yield (name, file) if equals and "/" not in name else ("", word)


def _parameters(given: Sequence[str], wrong: list[str], option: str = "-T") -> dict[str, Any]:
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
