"""Can the backends of ``trainer.logger`` log? verl finds out in its first step, after the models have loaded."""

import importlib.util
import netrc
import os
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig

from sinternal_verl.config import get, is_ppo
from sinternal_verl.doctor.problem import Finding, Note, Problem
from sinternal_verl.runs.tracking import backends_of

KEY, LOG_STATS = "trainer.logger", "actor_rollout_ref.rollout.disable_log_stats"

PACKAGES = {
    "wandb": "wandb",
    "mlflow": "mlflow",
    "swanlab": "swanlab",
    "vemlp_wandb": "volcengine-ml-platform",
    "tensorboard": "tensorboard",
    "clearml": "clearml",
    "trackio": "trackio",
    "rl_insight": "rl-insight",
}
"""What to install for a backend. Its module has the backend's name where no other is in `MODULES`."""

MODULES = {"vemlp_wandb": "volcengine_ml_platform"}

WANDB_ACCESS = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
WANDB_HOST = "api.wandb.ai"


def check_logger(config: DictConfig) -> Iterator[Finding]:
    """Check that verl knows each backend, that its package is installed, and that wandb and rl_insight have where to
    send."""
    from verl.utils.tracking import Tracking

    for name in backends_of(config):
        if name not in Tracking.supported_backend:
            yield Problem(KEY, name, "verl has no such backend", f"choose of {', '.join(Tracking.supported_backend)}")
        elif name in PACKAGES and importlib.util.find_spec(MODULES.get(name, name)) is None:
            yield Problem(KEY, name, "it is not installed", f"pip install {PACKAGES[name]}")
        elif name == "wandb" and not _wandb_may_log():
            step = "wandb login, or export WANDB_MODE=offline"
            yield Note(KEY, name, "no login is found on this machine, and without one wandb ends the run", step)
        elif name == "rl_insight":
            yield from _rl_insight(config)


def _wandb_may_log() -> bool:
    if os.environ.get("WANDB_MODE", "online") != "online" or any(name in os.environ for name in WANDB_ACCESS):
        return True
    # wandb's own servers ask for another host.
    host = os.environ.get("WANDB_BASE_URL", WANDB_HOST).removeprefix("https://").removeprefix("http://").strip("/")
    file = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        return file.is_file() and netrc.netrc(file).authenticators(host) is not None
    except netrc.NetrcParseError:
        return False


def _rl_insight(config: DictConfig) -> Iterator[Finding]:
    if not (os.environ.get("RL_INSIGHT_SERVER_URL") or get(config, "trainer.rl_insight.server.url")):
        step = "export RL_INSIGHT_SERVER_URL=http://host:port"
        yield Note(KEY, "rl_insight", "no server is named, so nothing will be sent", step)
    if is_ppo(config) and get(config, LOG_STATS, True):
        reason = "rl_insight shows vLLM's own metrics, and verl ends the run where vLLM keeps none"
        yield Problem(LOG_STATS, True, reason, f"{LOG_STATS}=false")
