"""The names in trainer.logger: verl knows them, their packages are installed, and what sends has where to send."""

import pytest

from sinternal_verl.doctor import tracking
from sinternal_verl.doctor.problem import Note, Problem
from sinternal_verl.doctor.tracking import check_logger
from sinternal_verl.runs.tracking import backends_of


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """Nobody is logged in, and no server is named."""
    for name in (*tracking.WANDB_ACCESS, "WANDB_MODE", "WANDB_BASE_URL", "RL_INSIGHT_SERVER_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def check(config, *names):
    config.trainer.logger = list(names)
    return list(check_logger(config))


def test_every_backend_of_verl_is_known_here():
    from verl.utils.tracking import Tracking

    assert set(tracking.PACKAGES) == set(Tracking.supported_backend) - {"console", "file"}


def test_a_backend_that_verl_does_not_know_is_refused_for_either_main(grpo_config, sft_config):
    for config in (grpo_config(), sft_config()):
        (problem,) = check(config, "console", "tensorbord")
        assert isinstance(problem, Problem) and problem.value == "tensorbord" and "tensorboard" in problem.next_step


def test_a_package_that_is_not_installed_is_named(grpo_config, monkeypatch):
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda name: None)
    (problem,) = check(grpo_config(), "vemlp_wandb")

    assert isinstance(problem, Problem) and problem.next_step == "pip install volcengine-ml-platform"


def test_what_needs_no_more_passes(grpo_config, sft_config):
    assert check(grpo_config(), "console", "file", "tensorboard") == []
    config = sft_config()
    config.trainer.logger = "tensorboard"
    assert backends_of(config) == ["tensorboard"] and list(check_logger(config)) == []


@pytest.mark.parametrize(
    ("name", "value"), [("WANDB_API_KEY", "0" * 40), ("WANDB_MODE", "offline"), ("WANDB_MODE", "disabled")]
)
def test_wandb_without_a_login_is_a_warning(grpo_config, monkeypatch, name, value):
    (note,) = check(grpo_config(), "wandb")
    assert isinstance(note, Note) and "wandb login" in note.next_step

    monkeypatch.setenv(name, value)
    assert check(grpo_config(), "wandb") == []


@pytest.mark.parametrize(("base", "passes"), [(None, True), ("https://wandb.mine.org/", False)])
def test_a_login_is_of_one_host(grpo_config, monkeypatch, tmp_path, base, passes):
    (tmp_path / "netrc").write_text("machine api.wandb.ai\n  login user\n  password key\n")
    (tmp_path / "netrc").chmod(0o600)
    if base:
        monkeypatch.setenv("WANDB_BASE_URL", base)

    assert (check(grpo_config(), "wandb") == []) == passes


def test_rl_insight_wants_a_server_and_the_metrics_of_vllm(grpo_config, sft_config, monkeypatch):
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda name: object())
    note, problem = check(grpo_config(), "rl_insight")
    assert isinstance(note, Note) and "RL_INSIGHT_SERVER_URL" in note.next_step
    assert isinstance(problem, Problem) and problem.next_step == "actor_rollout_ref.rollout.disable_log_stats=false"

    server = "trainer.rl_insight.server.url=http://here:1"
    assert check(grpo_config(server, problem.next_step), "rl_insight") == check(sft_config(server), "rl_insight") == []
