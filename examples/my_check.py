"""A check of your own. `sinternal-verl doctor` and every run make it before a model loads:

    sinternal-verl doctor +recipe=sinternal_grpo 'sinternal.checks=[examples/my_check.py]' ...

>>> from omegaconf import OmegaConf
>>> config = OmegaConf.create({"trainer": {"default_local_dir": "checkpoints"}})
>>> [finding.key for finding in check(config)]
['trainer.default_local_dir']
"""

from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig

from sinternal_verl.config import get
from sinternal_verl.doctor.problem import Finding, Problem

FOLDER = Path("/scratch")
"""Where checkpoints are kept; all other disks are backed up, and too small for them."""


def check(config: DictConfig) -> Iterator[Finding]:
    """Yield a problem where checkpoints are outside of `FOLDER`; a `Note` in its place would let the run start."""
    key = "trainer.default_local_dir"
    folder = get(config, key)
    if folder and FOLDER not in Path(folder).absolute().parents:
        yield Problem(key, folder, f"checkpoints belong below {FOLDER}", f"{key}={FOLDER}/my_run")
