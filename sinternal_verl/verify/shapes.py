"""Values in the place of settings, and settings in the place of values: ``expert=null``, ``prompts=[a,b]``.

Whoever reads a configuration would fail at the first of them. They are named and replaced by the recipe's, so that all
other faults are found in the same go.
"""

from collections.abc import Collection, Iterator
from copy import deepcopy
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sinternal_verl.doctor.problem import Problem
from sinternal_verl.verify.settings import TEXTS, WRITERS, complete, compose_build, is_mapping
from sinternal_verl.verify.writer import TEMPLATE_KEY

EXAMPLES = {
    "sinternal": "guard=none, without the prefix",
    "sinternal.guard": "guard=none, without the prefix",
    **{writer: f"{writer}.model=NAME" for writer in WRITERS},
    **{f"{writer}.request": f"{writer}.request.temperature=0" for writer in WRITERS},
    **{f"{writer}.{TEMPLATE_KEY}": f"+{writer}.{TEMPLATE_KEY}.enable_thinking=false" for writer in WRITERS},
    **{f"{writer}.engine": f"{writer}.engine.max_model_len=16384" for writer in WRITERS},
}
"""The keys below which settings stand, those above others first, and what a user may have meant who gives them a
value."""


def mend_shapes(config: DictConfig) -> tuple[DictConfig, list[Problem]]:
    """The configuration with the recipe's values where its own have another shape, and a problem for each of these."""
    found = [*_nodes(config), *_others(config)]
    if not found:
        return config, []
    mended, recipe, wrong = deepcopy(config), compose_build([]), {problem.key for problem in found}
    for key in wrong:
        OmegaConf.update(mended, key, OmegaConf.select(recipe, key), merge=False, force_add=True)
    complete(mended)
    return mended, [problem for problem in found if not _is_policys(config, problem.key, wrong)]


def shown(value: Any) -> Any:
    """The value as a `Problem` shows it, which would pass over None."""
    return "null" if value is None else value


def _nodes(config: DictConfig) -> Iterator[Problem]:
    """Keys below which there are no settings; of a node and what would stand below it only the node."""
    for key, example in EXAMPLES.items():
        node = key.rpartition(".")[0]
        if is_mapping(config, key) or (node and not is_mapping(config, node)):
            continue
        reason = "settings stand below this key, and it has no value itself"
        step = f"leave {key} out, or give what stands below it, e.g. {example}"
        yield Problem(key, shown(OmegaConf.select(config, key)), reason, step)


def _others(config: DictConfig) -> Iterator[Problem]:
    """Lists and texts that are none."""
    if not OmegaConf.is_list(config.against):
        yield Problem("against", shown(config.against), "it must be a list of files", "e.g. against=[xstest.csv]")
    for key in sorted(TEXTS):
        node = key.rpartition(".")[0]
        value = OmegaConf.select(config, key) if not node or is_mapping(config, node) else None
        if OmegaConf.is_config(value):
            step = f"give one; a text with brackets needs quotes: '{key}=\"...\"'"
            yield Problem(key, value, "it must be one text", step)


def _is_policys(config: DictConfig, key: str, wrong: Collection[str]) -> bool:
    """Whether it is the policy's fault, which another model without a value of its own has taken over."""
    writer, _, below = key.partition(".")
    if not below or writer not in ("other", "verifier"):
        return False
    theirs = None if "policy" in wrong else OmegaConf.select(config, f"policy.{below}")
    return OmegaConf.select(config, key) == theirs
