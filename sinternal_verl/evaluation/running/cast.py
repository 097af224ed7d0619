"""The models of a call: the one under test, and those of its judges. They are chosen first, with all that is wrong with
the words, and opened later, with servers of ours for those that need one."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import Model, get_model

from sinternal_verl.did_you_mean import did_you_mean
from sinternal_verl.evaluation.judges import JUDGES, JudgeError, open_judge
from sinternal_verl.evaluation.running.models import (
    Choice,
    asked_server,
    choice_problems,
    open_model,
    plain,
    read_choice,
)
from sinternal_verl.evaluation.running.serving import Server, serving
from sinternal_verl.evaluation.running.vllm_command import (
    CPU_SHARE,
    MAX_MODEL_LEN,
    Wanted,
    runs_on_cpu,
    share_of,
    visible_gpus,
)
from sinternal_verl.verify.origin import weights_of

UNDER_TEST = "model"
"""The name of the model under test, beside those of judges."""

OWN_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    # WildGuard has no chat template of its own.
    "wildguard": {"chat-template": str(Path(__file__).parents[1] / "judges" / "wildguard.jinja")}
}
"""Options with which the model of a judge is served."""


@dataclass(frozen=True)
class Cast:
    """See the module.

    Attributes:
        choices: by `UNDER_TEST` and the names of judges that a model of Inspect plays.
        settings: of each judge that can be asked, those without a model included.
        gpus: those that are left to a guard in this process; empty where it shares all.
    """

    choices: dict[str, Choice] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    gpus: list[str] = field(default_factory=list)

    def choose(self, name: str, given: str, api_key_env: str | None, options: Mapping[str, Any]) -> Iterator[str]:
        """Choose a model; what is wrong with it is yielded. A server is asked for its models."""
        try:
            choice = read_choice(given, api_key_env, options)
            problems = list(choice_problems(choice))
            if choice.kind == "server" and not problems:
                choice = asked_server(choice)
        except ValueError as error:
            yield str(error)
            return
        yield from problems
        if not problems:
            self.choices[name] = choice

    def add_judge(self, name: str, model: str, api_key_env: str | None) -> Iterator[str]:
        """Add a judge; what is wrong with it is yielded.

        Args:
            model: empty where none is given.
        """
        if name not in JUDGES:
            yield f"judge {name}: there is none of this name{did_you_mean(name, JUDGES)}; there are {', '.join(JUDGES)}"
            return
        self.settings[name] = {}
        needs = JUDGES[name].needs
        if needs == "nothing" and model:
            yield f"--judge {name}={model}: this judge asks no model; write --judge {name}"
        elif needs != "nothing" and not model:
            yield f"--judge {name}: it needs a model ({JUDGES[name].model}); write --judge {name}=MODEL"
        elif needs == "model":
            yield from self.choose(name, model, api_key_env, OWN_OPTIONS.get(name, {}))
        elif needs == "guard":
            yield from self._add_guard(name, model, api_key_env)

    def add_judges(self, judges: Mapping[str, str], keys: Mapping[str, str]) -> Iterator[str]:
        """Add judges by name, each with its model."""
        for name, model in judges.items():
            yield from self.add_judge(name, model, keys.get(name))
        for name in keys:
            if name not in (UNDER_TEST, *judges):
                yield f"--api-key-env {name}=...: no judge of this call has this name{did_you_mean(name, judges)}"

    def add_settings(self, given: Mapping[str, Any]) -> Iterator[str]:
        """Add settings of judges, each ``judge.name`` -> value."""
        for key, value in given.items():
            judge, dot, name = key.partition(".")
            if not dot or judge not in self.settings:
                hint = did_you_mean(judge, self.settings)
                yield f"-J {key}: write -J JUDGE.NAME=VALUE for a judge of this call{hint}"
            else:
                self.settings[judge][name] = value

    def setting_problems(self) -> Iterator[str]:
        """What is wrong with the judges' settings."""
        for name, settings in self.settings.items():
            guard = settings.get("guard")
            if "url" in settings and isinstance(guard, str) and not _has_tokenizer(guard):
                yield (
                    f"judge {name}: its prompts are rendered here, by the tokenizer of {guard}, and there is no such "
                    f"folder, no such model of the hub, or no way to it; give -J {name}.guard=..., a folder or a hub id"
                )
                continue
            try:
                open_judge(name, get_model("none") if JUDGES[name].needs == "model" else None, **settings)
            except (JudgeError, PrerequisiteError) as error:
                yield from map(plain, str(error).splitlines())

    def wanted(self) -> dict[str, Wanted]:
        """What is to be served here, by the name of its user. Who names the same model shares a server."""
        wanted: dict[str, Wanted] = {}
        served: dict[tuple, str] = {}
        for name, choice in self.choices.items():
            if not choice.is_served:
                continue
            what = (choice.name, choice.revision, tuple(sorted(choice.options.items())))
            if what not in served:
                names = [choice.called, *(f"{choice.called}-{number}" for number in range(2, len(self.choices) + 1))]
                served[what] = next(each for each in names if each not in served.values())
            wanted[name] = choice.wanted(served[what])
        return wanted

    def share_gpus(self) -> None:
        """Leave a part of the GPUs to a guard in this process: one of its own, or a share of all memory."""
        engines = self._engines()
        if not engines or runs_on_cpu():
            return
        served = list({each.served_as: each for each in self.wanted().values()}.values())
        needed = sum(int(each.options.get("tensor-parallel-size", 1)) for each in served)
        gpus = visible_gpus()
        if needed < len(gpus):
            self.gpus.extend(gpus[needed:])
        else:
            for engine in engines:
                engine.setdefault("gpu_memory_utilization", share_of(len(served) + len(engines)))

    def _engines(self) -> list[dict[str, Any]]:
        return [settings["engine"] for settings in self.settings.values() if "engine" in settings]

    def origin(self) -> dict[str, Any]:
        """What tells these models from others."""
        return {name: choice.origin() for name, choice in self.choices.items()}

    @contextmanager
    def opened(self, logs: Path, connections: int) -> Iterator[tuple[dict[str, Model], list[Server]]]:
        """The models by name, and the servers that run here for them while the block runs.

        Args:
            logs: folder for what servers print.
            connections: requests to a model at a time.

        Raises:
            ServerFailed: one does not start.
        """
        wanted = self.wanted()
        with ExitStack() as stack:
            different = list({each.served_as: each for each in wanted.values()}.values())
            beside = len(self._engines())
            if beside:
                # vLLM in this process would write dozens of lines to the terminal.
                os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
            servers = stack.enter_context(serving(different, logs, beside=beside)) if different else []
            if self.gpus:
                # Torch reads it when the guard is loaded; the servers were told their own.
                os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus)
            by_name = {server.name: server for server in servers}
            yield (
                {
                    name: open_model(choice, connections, by_name[wanted[name].served_as] if name in wanted else None)
                    for name, choice in self.choices.items()
                },
                servers,
            )

    def _add_guard(self, name: str, model: str, api_key_env: str | None) -> Iterator[str]:
        """A guard takes token ids, which Inspect does not send: it is behind a server of vLLM, or in this process."""
        chosen = Cast()
        yield from chosen.choose(name, model, api_key_env, {})
        choice = chosen.choices.get(name)
        if choice is None:
            return
        if choice.kind == "inspect":
            yield f"--judge {name}={model}: it takes token ids; give a folder, a hub id or a server of vLLM"
        elif choice.kind == "server":
            key = {"api_key_env": api_key_env} if api_key_env else {}
            guard = next(filter(_has_tokenizer, (choice.name, choice.root)), choice.name)
            self.settings[name] = {"url": choice.url, "served_as": choice.name, "guard": guard, **key}
        else:
            longest = choice.wanted(choice.called).max_model_len or MAX_MODEL_LEN
            engine: dict[str, Any] = {"max_model_len": longest}
            if runs_on_cpu():
                engine |= {"dtype": "float32", "enforce_eager": True, "gpu_memory_utilization": CPU_SHARE}
            self.settings[name] = {"guard": choice.name, "max_model_len": longest, "engine": engine}


def _has_tokenizer(model: str) -> bool:
    """Whether a folder here or the hub has it."""
    return weights_of(model, None, served=False) is not None


def read_judges(given: Sequence[str]) -> dict[str, str]:
    """Name of each judge -> its model, empty where none is given.

    Raises:
        ValueError: one is given twice.

    >>> read_judges(["llama_guard=owner/name", "refusal_strings"])
    {'llama_guard': 'owner/name', 'refusal_strings': ''}
    """
    names = [word.partition("=")[0] for word in given]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"--judge {', '.join(twice)}: given twice; one call asks each judge by one model")
    return {name: word.partition("=")[2] for name, word in zip(names, given, strict=True)}


def read_keys(given: Sequence[str]) -> dict[str, str]:
    """Who a key is for -> the environment variable that holds it.

    >>> read_keys(["MY_KEY", "xstest=OTHER_KEY"])
    {'model': 'MY_KEY', 'xstest': 'OTHER_KEY'}
    """
    split = [word.partition("=") for word in given]
    return {name if equals else UNDER_TEST: variable if equals else name for name, equals, variable in split}
