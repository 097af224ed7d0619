"""Does the configuration pass the user's own checks, which ``sinternal.checks`` names?"""

import copy
from collections.abc import Callable, Iterable, Iterator

from omegaconf import DictConfig, ListConfig, OmegaConf

from sinternal_verl.config import get
from sinternal_verl.doctor.problem import Finding, Problem
from sinternal_verl.user_code import NEXT_STEP, UserCodeError, load

KEY = "sinternal.checks"
FUNCTION = "check"


def run_user_checks(config: DictConfig) -> Iterator[Finding]:
    """Run ``check(config)`` of each file. A file without that function, or whose function raises, is a problem."""
    files = get(config, KEY, [])
    for path in files if isinstance(files, ListConfig | list) else [files]:
        try:
            check = getattr(load(str(path)), FUNCTION, None)
        except UserCodeError as error:
            yield Problem(KEY, path, str(error), NEXT_STEP)
            continue
        if not callable(check):
            yield Problem(KEY, path, f"it has no function {FUNCTION}", f"add def {FUNCTION}(config) to it")
            continue
        yield from _run(check, path, config)


def _run(check: Callable[[DictConfig], Iterable[Finding]], path: str, config: DictConfig) -> Iterator[Finding]:
    # A check that raises must not hide what the others find.
    try:
        found = list(check(_read_only(config)))
    # A check that calls sys.exit would end a run without a message, and with an exit code of its own.
    except (Exception, SystemExit) as error:
        yield Problem(KEY, path, f"stopped with {type(error).__name__}: {error}", "correct it, or leave it out")
        return
    for finding in found:
        if isinstance(finding, Finding):
            yield finding
        else:
            yield Problem(KEY, path, f"found {finding!r}, which is no Problem or Note", "correct it, or leave it out")


def _read_only(config: DictConfig) -> DictConfig:
    """A read-only copy, because a check must not change the run's configuration."""
    copied = copy.deepcopy(config)
    OmegaConf.set_readonly(copied, True)
    return copied
