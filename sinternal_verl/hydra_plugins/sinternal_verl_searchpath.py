"""Puts our recipes on the search path of every Hydra app, so that ``+recipe=…`` resolves in verl's own mains, and
registers the resolvers that they use. This file is installed into the namespace package ``hydra_plugins``, which every
Hydra app of the environment imports. Import nothing here that needs more than Hydra and OmegaConf."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from sinternal_verl.resolvers import register_resolvers

register_resolvers()


class SinternalSearchPath(SearchPathPlugin):
    """Appends ``pkg://sinternal_verl.recipes`` after the app's own configuration."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append(provider="sinternal_verl", path="pkg://sinternal_verl.recipes")
