"""``--cfg job`` of the commands that take overrides: the configuration with all its keys, as Hydra prints it."""

import sys
from collections.abc import Callable, Sequence

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException


def show_configuration(compose: Callable[[Sequence[str]], DictConfig], overrides: Sequence[str]) -> int:
    """Print the configuration that the command would use; return 0, or 2 where the overrides do not compose."""
    try:
        text = OmegaConf.to_yaml(compose(overrides))
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        print(f"sinternal_verl: the overrides do not compose.\n{error}", file=sys.stderr)
        return 2
    print(text, end="")
    return 0
