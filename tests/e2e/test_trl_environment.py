"""TRL in an environment of its own: verl 0.9.1 does not load a policy where TRL 1.16 is installed. The environment
borrows all other packages from this one. In it the tests of our reward under TRL run, and `doctor` refuses verl."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
TRL = "trl==1.16.0"


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    if sys.version_info < (3, 11):
        pytest.skip("TRL 1.16 wants Python 3.11")
    folder = tmp_path_factory.mktemp("trl") / "env"
    venv.create(folder, with_pip=False)
    (site,) = (folder / "lib").glob("python*/site-packages")
    # Added as a site folder, so that the editable install in it is found, too.
    (site / "borrowed.pth").write_text(f"import site; site.addsitedir({sysconfig.get_paths()['purelib']!r})\n")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), TRL]
    installed = subprocess.run(command, capture_output=True, text=True, timeout=200)
    if installed.returncode:
        pytest.skip(f"{TRL} cannot be installed here: {installed.stderr[-300:]}")
    return folder / "bin" / "python"


def test_our_reward_under_trl(python):
    files = ["tests/scoring/test_trl.py", "tests/e2e/test_trl.py"]
    command = [str(python), "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)

    assert done.returncode == 0, done.stdout[-3000:]
    assert "skipped" not in done.stdout.splitlines()[-1]


def test_doctor_refuses_verl_beside_it(python, world):
    overrides = [
        "+recipe=sinternal_sft_cpu",
        f"model.path={world['policy']}",
        f"data.train_files={world['sft']}",
        "data.max_length=128",
    ]
    code = "import sys; from sinternal_verl.cli import main; sys.exit(main())"
    command = [str(python), "-c", code, "doctor", *overrides]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)

    assert done.returncode == 2, done.stderr[-3000:]
    assert "trl = 1.16.0" in done.stdout + done.stderr and "pip uninstall trl" in done.stdout + done.stderr
