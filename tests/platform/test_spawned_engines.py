"""vLLM's engine on a GPU, started by a process that has imported verl."""

import os

import pytest
import torch
from vllm.utils.system_utils import get_mp_context

from sinternal_verl.platform.compat import ENGINE_START, spawn_engines_on_gpu

pytestmark = pytest.mark.versions


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    # Set before it is removed, so that what the test leaves is removed, too.
    monkeypatch.setenv(ENGINE_START, "fork")
    monkeypatch.delenv(ENGINE_START)


@pytest.mark.parametrize(("has_gpu", "method"), [(True, "spawn"), (False, None)])
def test_an_engine_is_spawned_where_there_is_a_gpu(has_gpu, method, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)

    spawn_engines_on_gpu()

    assert os.environ.get(ENGINE_START) == method
    if method:
        assert get_mp_context().get_start_method() == method


def test_a_users_choice_stays(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv(ENGINE_START, "forkserver")

    spawn_engines_on_gpu()

    assert os.environ[ENGINE_START] == "forkserver"
