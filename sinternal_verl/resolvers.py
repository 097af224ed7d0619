"""The resolvers of the recipes: they derive values from other values, or from what is installed.

OmegaConf needs them in every process that reads such a value. Our search-path plugin registers them wherever Hydra
composes, and verl's entry point wherever verl runs: verl's task runner resolves the configuration in another process.
Both also happen in programs that are not ours, so nothing but OmegaConf is imported here.
"""

from omegaconf import OmegaConf

from sinternal_verl.attention import attention, fused_kernels, micro_batch_tokens
from sinternal_verl.gpus import PREFIX, guard_gpus, guard_gpus_per_node, guard_replicas, training_gpus

RESOLVERS = (training_gpus, guard_gpus, guard_gpus_per_node, guard_replicas)
RESOLVERS += (attention, fused_kernels, micro_batch_tokens)


def register_resolvers() -> None:
    """Make ``${sinternal.training_gpus:}`` and the others known to OmegaConf; safe to call twice."""
    for resolver in RESOLVERS:
        OmegaConf.register_new_resolver(f"{PREFIX}{resolver.__name__}", resolver, replace=True)
