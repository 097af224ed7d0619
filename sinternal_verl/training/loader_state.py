"""A data loader's state in a checkpoint of verl can be resumed only with the number of workers it was saved with."""

from typing import Any


def check_workers(state: dict[str, Any], workers: int, key: str, checkpoint: object) -> None:
    """Check that a state of torchdata's StatefulDataLoader was saved with as many workers as the loader has.

    Args:
        state: the loader's state from a checkpoint.
        workers: how many workers the loader has now.
        key: verl's configuration key that sets this number, for the message.
        checkpoint: where the state comes from, for the message.

    Raises:
        ValueError: the numbers differ. torchdata would raise an AssertionError that names no key.
            (torchdata 0.11)
    """
    snapshot = state.get("_snapshot", {}).get("_main_snapshot", {})
    saved = snapshot.get("_num_workers") if "_snapshot" in state else 0
    if saved is not None and saved != workers:
        raise ValueError(
            f"{key}={workers}: {checkpoint} was saved with {saved} data loader workers, and only as many can resume "
            f"from there: give {key}={saved}"
        )
