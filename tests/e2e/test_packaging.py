"""The built wheel: nothing at the top level that is not ours, and recipes that resolve from it."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    return next(folder.glob("*.whl"))


def test_only_our_names_at_the_top_level(wheel):
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"sinternal_verl", "hydra_plugins"}
    assert "sinternal_verl/recipes/recipe/sinternal_grpo.yaml" in names
    assert "sinternal_verl/recipes/hardware/base/8gpu.yaml" in names
    assert "sinternal_verl/report/web/page.html" in names
    assert "sinternal_verl/report/web/vendor/uPlot.iife.min.js" in names
    assert "sinternal_verl/report/web/vendor/uPlot.LICENSE" in names
    assert "hydra_plugins/__init__.py" not in names


@pytest.mark.parametrize(
    ("main", "recipe", "expected"),
    [
        ("verl.trainer.main_ppo", "sinternal_grpo_cpu", "adv_estimator: grpo"),
        pytest.param(
            *("verl.trainer.sft_trainer", "sinternal_sft_cpu", "path: pkg://sinternal_verl.data.sft"),
            marks=pytest.mark.long,
        ),
    ],
)
def test_recipes_resolve_under_verls_mains_from_the_wheel(wheel, tmp_path, main, recipe, expected):
    """A new environment with the wheel in it; the dependencies are borrowed from this one, and the
    editable install is not (a ``.pth`` file inside a borrowed folder is not read)."""
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    site = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    zipfile.ZipFile(wheel).extractall(site)
    (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")

    command = [str(python), "-m", main, f"+recipe={recipe}", "--cfg", "job"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
    origin = "import sinternal_verl.recipes as r; print(r.__file__)"
    found = subprocess.run([str(python), "-c", origin], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert found.stdout.startswith(str(site))
