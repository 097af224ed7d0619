"""What pip would install for a GPU: ``python tests/gpu_extra.py 3.10 3.11 3.12`` resolves the ``gpu`` extra of the
built wheel for each of these Pythons and prints what it found. Nothing is installed. ``--eval`` resolves the extras
``gpu`` and ``eval`` with the versions of constraints-gpu.txt."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT_S = 900

SOURCE_ONLY = "antlr4-python3-runtime==4.9.3"
"""The one requirement (of OmegaConf) without a wheel; pure Python, so that any Python can build it."""

WANTED = ("verl", "vllm", "torch", "transformers", "tokenizers", "ray", "tensordict", "TransferQueue", "numpy")


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments, "-q"], check=True, timeout=LIMIT_S, cwd=ROOT)


@contextmanager
def wheels() -> Iterator[Path]:
    """A folder with our wheel and that of `SOURCE_ONLY`."""
    with tempfile.TemporaryDirectory() as folder:
        pip("wheel", "--no-deps", "-w", folder, str(ROOT), SOURCE_ONLY)
        yield Path(folder)


def resolve(requirement: str, *options: str) -> dict[str, tuple[str, str]]:
    """Name -> version and file of everything pip would install for a requirement.

    Raises:
        subprocess.CalledProcessError: it does not resolve; pip's words are on stderr.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        pip("install", "--dry-run", "--ignore-installed", "--report", str(report), *options, requirement)
        found = json.loads(report.read_text())["install"]
    return {
        each["metadata"]["name"]: (each["metadata"]["version"], each["download_info"]["url"].rsplit("/", 1)[-1])
        for each in found
    }


def resolve_for(
    python: str, folder: Path, extras: str = "gpu", constraints: str | None = None
) -> dict[str, tuple[str, str]]:
    """The same for another Python, of wheels only: what has none would need a compiler."""
    wheel = next(folder.glob("sinternal_verl-*.whl"))
    options = ["--python-version", python, "--only-binary=:all:", "--find-links", str(folder)]
    options += ["-c", constraints] if constraints else []
    return resolve(f"{wheel}[{extras}]", *options, "--target", str(folder / "nothing"))


def main(words: list[str]) -> int:
    failed, pythons = False, [word for word in words if word != "--eval"]
    choice = ("gpu,eval", "constraints-gpu.txt") if "--eval" in words else ("gpu", None)
    with wheels() as folder:
        for python in pythons:
            try:
                found = resolve_for(python, folder, *choice)
            except subprocess.CalledProcessError as error:
                failed = True
                print(f"Python {python}: does not resolve (pip ended with {error.returncode})")
                continue
            versions = ", ".join(f"{name} {found[name][0]}" for name in (*WANTED, "inspect_ai") if name in found)
            print(f"Python {python}: {len(found)} wheels: {versions}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
