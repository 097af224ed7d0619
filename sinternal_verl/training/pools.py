"""Reserves the trainer's GPUs before anything else may take them.

verl reserves the GPUs of a pool when it starts the pool's first workers, and those of its last pool only after
the trainer's model has been loaded (verl 0.9.1). Here all pools are reserved first; then whatever starts beside
the trainer may take GPUs that are left.
"""

from collections.abc import Callable

from verl.single_controller.ray import ResourcePoolManager


class ReservingPools(ResourcePoolManager):
    """verl's pools; their placement groups are made when the pools are created."""

    device: str
    then: Callable[[], None]

    def create_resource_pool(self) -> None:
        super().create_resource_pool()
        for pool in self.resource_pool_dict.values():
            # The same arguments as in verl's worker groups, which get these groups later: the pool keeps them.
            pool.get_placement_groups(strategy="STRICT_PACK", device_name=self.device)
        self.then()


def reserve_when_created(pools: ResourcePoolManager, device: str, then: Callable[[], None]) -> ResourcePoolManager:
    """The same pools, which reserve their GPUs when they are created and then call ``then``.

    Args:
        device: ``trainer.device``.
    """
    reserving = ReservingPools(pools.resource_pool_spec, pools.mapping, pools.max_colocate_count)
    reserving.device, reserving.then = device, then
    return reserving
