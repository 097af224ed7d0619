"""A warning is logged also where vLLM's server has been imported."""

import os
import subprocess
import sys

import pytest

WARNS = """
import logging
import verl
import verl.workers.rollout.vllm_rollout.vllm_async_server
logging.getLogger("sinternal_verl.training.failures").warning("four rows have no score")
"""


@pytest.mark.versions
def test_a_warning_is_shown():
    environment = {name: value for name, value in os.environ.items() if name != "SAGEMAKER_CONTAINER_LOG_LEVEL"}

    done = subprocess.run(
        [sys.executable, "-c", WARNS], env=environment, capture_output=True, text=True, check=True, timeout=100
    )

    assert "four rows have no score" in done.stdout + done.stderr
