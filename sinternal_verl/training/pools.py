"""The trainer's GPUs, reserved before anything else may take them.

verl reserves the GPUs of a pool when it starts the pool's first workers, and its last pool only after the
trainer's model has been loaded (verl 0.9.1). What starts beside the trainer waits for its own GPUs until the
trainer has all of its.
"""

from collections.abc import Callable

from verl.single_controller.ray import ResourcePoolManager


class ReservingPools(ResourcePoolManager):
    """verl's pools, whose placement groups stand once they are created."""

    device: str
    then: Callable[[], None]

    def create_resource_pool(self) -> None:
        super().create_resource_pool()
        for pool in self.resource_pool_dict.values():
            # As verl's worker groups ask for them, and the pool keeps them.
            pool.get_placement_groups(strategy="STRICT_PACK", device_name=self.device)
        self.then()


def reserve_when_created(pools: ResourcePoolManager, device: str, then: Callable[[], None]) -> ResourcePoolManager:
    """The same pools; once they are created they are reserved, and ``then`` is called.

    Args:
        device: ``trainer.device``.
    """
    reserving = ReservingPools(pools.resource_pool_spec, pools.mapping, pools.max_colocate_count)
    reserving.device, reserving.then = device, then
    return reserving
