"""Each module of `sinternal_verl.training` may be the first that a process imports, as Ray's processes and tests do."""

import importlib
import os
import pkgutil
import subprocess
import sys

import pytest

from sinternal_verl import training

MODULES = [f"{training.__name__}.{each.name}" for each in pkgutil.iter_modules(training.__path__)]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_module_that_is_imported_first_leaves_ours_fit():
    """verl imports the plugin, and the plugin imports ours: the module that came first is half loaded then."""
    command = [sys.executable, __file__, *MODULES]
    said = subprocess.run(command, capture_output=True, text=True, timeout=280)

    assert said.returncode == 0, said.stderr[-3000:]
    assert said.stdout.split() == MODULES


def _import_each_in_a_child(names: list[str]) -> int:
    """Print the names of those after which everything of ours fits. What verl stands on is imported once, before."""
    import ray  # noqa: F401
    import tensordict  # noqa: F401
    import torch  # noqa: F401
    import transformers  # noqa: F401

    assert "verl" not in sys.modules
    for name in names:
        child = os.fork()
        if child == 0:
            importlib.import_module(name)
            from sinternal_verl.plugin import UNFIT

            print(f"{name} {UNFIT or ''}".strip(), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
    return 0


if __name__ == "__main__":
    sys.exit(_import_each_in_a_child(sys.argv[1:]))
