"""The state of a data loader in a checkpoint of verl, which goes on only with as many workers as it had."""

from typing import Any


def check_workers(state: dict[str, Any], workers: int, key: str, checkpoint: object) -> None:
    """Compare the workers that a state of torchdata's StatefulDataLoader had with those it is to have.

    Args:
        key: of verl's configuration, that sets the number.
        checkpoint: that the state is from, for the message.

    Raises:
        ValueError: they differ, where torchdata would end in an AssertionError that names no key.
            (torchdata 0.11)
    """
    snapshot = state.get("_snapshot", {}).get("_main_snapshot", {})
    saved = snapshot.get("_num_workers") if "_snapshot" in state else 0
    if saved is not None and saved != workers:
        raise ValueError(
            f"{key}={workers}: {checkpoint} was saved with {saved} data loader workers, and only as many can go on "
            f"from there: give {key}={saved}"
        )
