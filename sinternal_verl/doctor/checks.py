"""All checks, in the order in which a user would want to read their problems."""

from collections.abc import Callable, Iterable

from omegaconf import DictConfig

from sinternal_verl.config import is_ppo
from sinternal_verl.doctor.agent_loop import check_agent_loop
from sinternal_verl.doctor.batches import check_batches
from sinternal_verl.doctor.checkpoints import check_checkpoints
from sinternal_verl.doctor.data import check_data
from sinternal_verl.doctor.fits import check_memory
from sinternal_verl.doctor.flash_attn import check_attention
from sinternal_verl.doctor.guard import check_guard
from sinternal_verl.doctor.installation import check_installation
from sinternal_verl.doctor.keys import check_dead_keys, check_missing, check_use_v1
from sinternal_verl.doctor.lengths import check_row_lengths
from sinternal_verl.doctor.model import check_model
from sinternal_verl.doctor.model_attention import check_model_attention
from sinternal_verl.doctor.placement import check_placement
from sinternal_verl.doctor.problem import Finding, Problem, problems_of
from sinternal_verl.doctor.resources import check_resources
from sinternal_verl.doctor.reward import check_reward
from sinternal_verl.doctor.scorers import check_scorers
from sinternal_verl.doctor.settings import check_settings
from sinternal_verl.doctor.tokenizer import check_tokenizer
from sinternal_verl.doctor.tracking import check_logger
from sinternal_verl.doctor.user_checks import run_user_checks
from sinternal_verl.doctor.values import check_values
from sinternal_verl.doctor.verification import check_verification
from sinternal_verl.doctor.versions import check_versions

Check = Callable[[DictConfig], Iterable[Finding]]

COMMON: tuple[Check, ...] = (
    check_installation,
    check_versions,
    check_missing,
    check_settings,
    check_values,
    check_model,
    check_attention,
    check_model_attention,
    check_tokenizer,
    check_data,
    check_verification,
    check_batches,
    check_resources,
    check_memory,
    check_checkpoints,
    check_logger,
)
GRPO_ONLY: tuple[Check, ...] = (
    check_dead_keys,
    check_use_v1,
    check_agent_loop,
    check_reward,
    check_scorers,
    check_guard,
    check_placement,
)
SFT_ONLY: tuple[Check, ...] = (check_row_lengths,)

DEVICE = "trainer.device"

STOPPED = frozenset(check.__name__ for check in (*COMMON, *GRPO_ONLY, *SFT_ONLY))
"""Names of the checks: where a check itself fails, its name is the problem's key."""


def run_checks(config: DictConfig) -> list[Finding]:
    """Run every check for the configuration's main, and return problems, and notes that do not stop a run."""
    checks = (*COMMON, *(GRPO_ONLY if is_ppo(config) else SFT_ONLY))
    found = [finding for check in (*checks, run_user_checks) for finding in _run(check, config)]
    if _run(check_values, config):
        # A word in place of a number is reported already, and made the other checks fail.
        found = [finding for finding in found if finding.key not in STOPPED]
    # Installation and resources both report a missing GPU. The latter come last and say what to type, so they stay.
    twice = [finding for finding in found if finding.key == DEVICE][:-1]
    return [finding for finding in found if finding not in twice]


def find_problems(config: DictConfig) -> list[Problem]:
    """The problems among what `run_checks` finds; an empty list means that the run may start."""
    return problems_of(run_checks(config))


def _run(check: Check, config: DictConfig) -> list[Finding]:
    """What one check finds. A check may itself fail: at a word in place of a number, at an environment variable
    that is not set, or by a fault of its own. That is a problem, too. It must not hide the other checks' problems;
    and Hydra would turn an exception into a warning and start the run unchecked."""
    try:
        return list(check(config))
    except Exception as error:
        step = "correct the value it names; if there is none, please report it"
        return [Problem(check.__name__, None, f"stopped with {type(error).__name__}: {error}", step)]
