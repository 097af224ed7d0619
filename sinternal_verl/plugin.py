"""verl's entry point (group ``verl.plugins``).

verl *imports* this module at the end of ``import verl`` in every process of a run, and calls nothing in it. verl
logs an exception of this module only at DEBUG, so nobody sees it. So the module does little: it registers, and
everything heavy is imported only when verl imports its own counterpart.
"""

import importlib
import os
import sys
from types import ModuleType

from wrapt import when_imported

from sinternal_verl.platform.cpu import register_cpu_platform
from sinternal_verl.resolvers import register_resolvers

REGISTERED_WITH = {
    "verl.experimental.reward_loop.reward_manager": "sinternal_verl.training.manager",
    "verl.experimental.agent_loop": "sinternal_verl.training.agent_loop",
    "verl.trainer.ppo.v1": "sinternal_verl.training.trainer",
    "verl.utils.checkpoint.checkpoint_handler": "sinternal_verl.training.sft_resume",
    "verl.utils.fsdp_utils": "sinternal_verl.training.fused_head",
    "verl.utils.import_utils": "sinternal_verl.training.user_files",
}
"""A module of verl -> our module, which is imported after it. verl's module has a registry in which ours registers,
or a class or function without a hook that ours wraps. To import ours here would double the time of ``import verl`` in
every process."""


UNFIT: dict[str, str] = {}
"""Our module -> why it did not load in this process. The checks of our recipes then refuse the run."""


def refuse_a_recipe_hydra_cannot_find() -> None:
    """End a main that was given one of our recipes while our search path is not installed.

    Hydra would take ``+recipe=…`` for a plain key, and verl would train its defaults. It raises ``SystemExit``,
    because verl's loader catches every ``Exception``.
    """
    if any(argument.startswith("+recipe=sinternal_") for argument in sys.argv[1:]):
        try:
            import hydra_plugins.sinternal_verl_searchpath  # noqa: F401
        except ImportError as error:
            print(f"sinternal_verl: Hydra cannot find our recipes ({error}): reinstall the package", file=sys.stderr)
            raise SystemExit(2) from error


def keep_warnings() -> None:
    """Let warnings be logged in processes that import vLLM's server.

    A package that the server imports sets the root logger to this level, by default ERROR, and with it every logger
    without a level of its own, ours included. (model_hosting_container_standards, by vLLM 0.24 and 0.27)
    """
    os.environ.setdefault("SAGEMAKER_CONTAINER_LOG_LEVEL", os.environ.get("LOG_LEVEL", "WARNING"))


def register_when_imported() -> None:
    """Add our reward manager, agent loop and trainers to verl's registries, and mend how its SFT main resumes and how
    it loads the user's files, each once verl has imported its own module."""
    for registry, ours in REGISTERED_WITH.items():
        when_imported(registry)(_importer(ours))


def _importer(name: str):
    def load(_: ModuleType) -> None:
        try:
            importlib.import_module(name)
        # A run without our recipe may import verl's module; it must not fail because ours does.
        except Exception as error:
            UNFIT[name] = f"{type(error).__name__}: {error}"
            print(f"sinternal_verl: {name} does not fit this verl: {UNFIT[name]}", file=sys.stderr)

    return load


refuse_a_recipe_hydra_cannot_find()
keep_warnings()
register_resolvers()
register_cpu_platform()
register_when_imported()
