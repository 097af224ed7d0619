"""The collector rests while a process starts, and no longer."""

import gc
import os
import time

import pytest

from sinternal_verl.platform import collector


@pytest.fixture(autouse=True)
def collecting():
    yield
    gc.enable()


def test_it_is_paused_and_comes_back(monkeypatch):
    monkeypatch.setattr(collector, "PAUSE_S", 2.0)
    collector.pause_collector()
    assert not gc.isenabled()

    deadline = time.monotonic() + 60
    while not gc.isenabled() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert gc.isenabled()


def test_a_forked_child_has_it_from_its_start(monkeypatch):
    monkeypatch.setattr(collector, "PAUSE_S", 5.0)
    collector.pause_collector()
    if (child := os.fork()) == 0:
        os._exit(int(not gc.isenabled()))

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_cpu_recipe_names_it(grpo_config):
    module, name = grpo_config().ray_kwargs.ray_init.runtime_env.worker_process_setup_hook.rsplit(".", 1)

    assert (module, name) == (collector.pause_collector.__module__, collector.pause_collector.__name__)
