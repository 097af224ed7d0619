"""The resolvers of the recipes: they derive values from other values, or from what is installed.

OmegaConf needs them in every process that reads such a value. Our search-path plugin registers them wherever Hydra
composes, and verl's entry point wherever verl runs: verl's task runner resolves the configuration in another process.
Both also happen in programs that are not ours, so nothing but OmegaConf is imported here.
"""

from omegaconf import DictConfig, OmegaConf

from sinternal_verl.attention import attention, fused_kernels, micro_batch_tokens
from sinternal_verl.gpus import PREFIX, guard_gpus, guard_gpus_per_node, guard_replicas, training_gpus

FOLDER = "trainer.default_local_dir"


def dumps(name: str, *, _root_: DictConfig) -> str | None:
    """A folder for dumps in the checkpoint folder; None where that is a URL, since verl writes dumps to local files."""
    folder = OmegaConf.select(_root_, FOLDER)
    return None if folder is None or "://" in str(folder) else f"{str(folder).rstrip('/')}/{name}"


RESOLVERS = (training_gpus, guard_gpus, guard_gpus_per_node, guard_replicas)
RESOLVERS += (attention, fused_kernels, micro_batch_tokens, dumps)


def register_resolvers() -> None:
    """Make ``${sinternal.training_gpus:}`` and the others known to OmegaConf; safe to call twice."""
    for resolver in RESOLVERS:
        OmegaConf.register_new_resolver(f"{PREFIX}{resolver.__name__}", resolver, replace=True)
