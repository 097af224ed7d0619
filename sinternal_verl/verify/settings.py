"""The settings of a build: ``recipes/verify/build.yaml`` with the overrides of the user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hydra import compose, initialize_config_module
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from sinternal_verl.credentials import origin_of
from sinternal_verl.data.specification import Specification, load_specification
from sinternal_verl.data.template import Target, VerificationPrompt
from sinternal_verl.overrides import with_texts
from sinternal_verl.scoring.response import Thought
from sinternal_verl.verify.writer import WriterSettings

Stage = Literal["sample", "critique", "select", "evaluate", "show", "merge"]
BUILD: tuple[Stage, ...] = ("sample", "critique", "select")
EVALUATE: tuple[Stage, ...] = ("sample", "critique", "evaluate")
MERGE: tuple[Stage, ...] = ("merge", "select")
WITHOUT_EXPERT = {"sample", "show"}

RENAMED = {"max_tokens": "budget_tokens"}
"""Keys of a writer that have another name today. The old one was taken for the longest reply."""

NO_KEY = {"api_key_env": None, "api_key_over_http": False}

WRITERS = ("policy", "other", "verifier", "expert")
TEXTS = {"prompts", "out", "store", "specification", "prompt"} | {
    f"{writer}.{key}" for writer in WRITERS for key in ("model", "url", "revision", "api_key_env")
}
"""Keys whose values are paths and names, also where these look like numbers: ``out=20251125``."""

BUDGETS = ("max_requests", "budget_tokens")
"""Keys of a model that bound what a whole build may spend on it."""


@dataclass(frozen=True)
class BuildSettings:
    """The settings of a build; its keys are those of the recipe, which explains them."""

    prompts: str
    label: str | None
    out: Path
    store: Path
    seed: int
    samples: int
    answers: str
    target: Target
    fraction: float
    specification: Specification
    prompt: VerificationPrompt
    against: tuple[str, ...]
    shard: tuple[int, int]
    policy_thought: Thought
    writer: WriterSettings
    expert: WriterSettings
    verifier: WriterSettings
    guard: dict[str, Any] | None

    @property
    def thinks(self) -> bool:
        """Whether the model that learns writes a thought before its answer."""
        return self.policy_thought == "required"

    def origin(self, stages: Sequence[Stage] = BUILD) -> dict[str, Any]:
        """For provenance: all that decides the outcome of these stages, except the digest of the prompts."""
        found: dict[str, Any] = {"seed": self.seed, "shard": self.shard}
        found |= {"samples": self.samples, "answers": {"by": self.answers, **self.writer.origin()}}
        # How answers are read, and whether the rows hold a thought. No reply is asked for again because of it.
        found |= {"thought": {"answers": self.writer.thought, "rows": self.policy_thought}}
        if set(stages) - WITHOUT_EXPERT:
            found |= {"expert": self.expert.origin(), "specification": self.specification.origin()}
            found |= {"prompt": self.prompt.template}
        if "select" in stages:
            found |= {"target": self.target, "fraction": self.fraction}
        return found


def compose_build(overrides: Sequence[str]) -> DictConfig:
    """The recipe with these overrides. Keys that ``other`` and ``verifier`` leave out are ``policy``'s.

    Raises:
        hydra.errors.HydraException: the overrides do not compose.
    """
    _refuse_old_names(overrides)
    with initialize_config_module("sinternal_verl.recipes", version_base=None):
        config = compose("verify/build", overrides=with_texts(overrides, TEXTS))
    complete(config)
    return config


def complete(config: DictConfig) -> None:
    """Give ``other`` and ``verifier`` the keys of ``policy`` that they leave out. What is no mapping stays as it is."""
    if not is_mapping(config, "policy"):
        return
    for name in (name for name in ("other", "verifier") if is_mapping(config, name)):
        given = {key: value for key, value in config[name].items() if value is not None}
        taken = OmegaConf.create(OmegaConf.to_container(config.policy, resolve=False))
        # Not the node itself, which would refuse keys that the policy does not have, such as request.top_k.
        config[name] = OmegaConf.merge(taken, NO_KEY if _elsewhere(given, config.policy) else {}, given)
        if "model" in given:
            config[name].revision = given.get("revision")  # never the one of another model


def is_mapping(config: DictConfig, key: str) -> bool:
    """Whether there are settings below the key, and not a value, null or nothing in their place."""
    return OmegaConf.is_dict(OmegaConf.select(config, key))


def _refuse_old_names(overrides: Sequence[str]) -> None:
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        writer, _, name = key.partition(".")
        if writer in WRITERS and name in RENAMED:
            raise HydraException(
                f"{key} is called {writer}.{RENAMED[name]} now: the tokens that one command may spend, read and "
                f"written. The longest reply is {writer}.request.{name}."
            )


def _elsewhere(given: Mapping[str, Any], policy: DictConfig) -> bool:
    """Whether the model stands behind another server than the policy, which is not to get the policy's key."""
    try:
        return "url" in given and origin_of(str(given["url"])) != origin_of(str(policy.url))
    except ValueError:
        return True


def build_settings(config: DictConfig) -> BuildSettings:
    """The settings of a configuration in which `find_problems` finds none."""
    plain = OmegaConf.to_container(config, resolve=True)
    writer = plain["policy" if plain["answers"] == "self" else "other"]
    shard = shard_of(plain["shard"]) or (0, 1)
    return BuildSettings(
        **{key: plain[key] for key in ("prompts", "label", "seed", "samples", "answers", "target", "fraction")},
        out=Path(plain["out"]).expanduser(),
        store=Path(plain["store"]).expanduser(),
        specification=load_specification(str(plain["specification"])),
        prompt=VerificationPrompt.load(plain["prompt"]),
        against=tuple(plain["against"]),
        shard=shard,
        policy_thought=plain["policy"]["thought"],
        writer=_share(writer, shard),
        expert=_share(plain["expert"], shard),
        verifier=_share(plain["verifier"], shard),
        guard=plain["sinternal"]["guard"] if plain["sinternal"]["guard"]["backend"] else None,
    )


def checks_expert(config: DictConfig | BuildSettings, stages: Sequence[Stage]) -> bool:
    """Whether the expert is asked once before the policy writes answers, see `sinternal_verl.verify.probe`. An expert
    in this process is not, because it would be loaded twice."""
    return "sample" in stages and bool(config.expert.url and config.expert.model)


def _share(writer: dict[str, Any], shard: tuple[int, int]) -> WriterSettings:
    """The settings of a model that writes; a part of a build has its share of the budgets."""
    return WriterSettings(**writer | {key: share_of(writer[key], shard) for key in BUDGETS if key in writer})


def share_of(limit: int | None, shard: tuple[int, int]) -> int | None:
    """The share of one part in what all parts together may spend. The shares add up to the whole.

    >>> [share_of(10, (part, 4)) for part in range(4)], share_of(None, (0, 4)), share_of(10, (0, 1))
    ([2, 3, 2, 3], None, 10)
    """
    part, parts = shard
    return None if limit is None else limit * (part + 1) // parts - limit * part // parts


def shard_of(text: str | None) -> tuple[int, int] | None:
    """(i, n) of ``i/n``; None where it is not that.

    >>> shard_of("2/8"), shard_of("8/8"), shard_of("two")
    ((2, 8), None, None)
    """
    number, _, count = str(text).partition("/")
    if not (number.isdigit() and count.isdigit() and int(number) < int(count)):
        return None
    return int(number), int(count)
