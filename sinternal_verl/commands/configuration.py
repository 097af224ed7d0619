"""``--cfg job`` of the commands that take overrides: the configuration with all its keys, as Hydra prints it."""

from collections.abc import Callable, Sequence

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sinternal_verl.commands.messages import fail, not_composed


def show_configuration(compose: Callable[[Sequence[str]], DictConfig], overrides: Sequence[str]) -> int:
    """Print the configuration that the command would use; return 0, or 2 where the overrides do not compose."""
    try:
        text = OmegaConf.to_yaml(compose(overrides))
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        return fail(not_composed(error, overrides, compose))
    print(text, end="")
    return 0
