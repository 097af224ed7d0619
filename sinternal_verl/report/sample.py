"""Which groups of rollouts a page holds."""

import numpy as np

FAILED_SHARE = 0.5
"""Groups with a failure come first, until they have this share of the room; what the others leave is theirs, too."""


def choose_groups(
    *, failed: np.ndarray, size: np.ndarray, stratum: np.ndarray, mark: np.ndarray, budget: int
) -> np.ndarray:
    """Choose whole groups, spread evenly over strata: one of each stratum, then a second one of each, and so on.

    Args:
        failed: whether a response of the group has no score. (bool, n)
        size: what the group takes of the room, such as the bytes of its texts. (int64, n)
        stratum: number of the group's step and source. (n)
        mark: a random number for each group, which decides within a stratum, and which strata come first. (n)
        budget: what the chosen groups may take together.

    Returns:
        Whether each group is chosen. (bool, n)
    """
    chosen = np.zeros(len(size), dtype=bool)
    left = budget
    failures, others = (_by_turns(np.flatnonzero(which), stratum, mark) for which in (failed, ~failed))
    for groups, share in ((failures, FAILED_SHARE), (others, 1.0), (failures, 1.0)):
        most = min(left, int(budget * share))
        for group in groups:
            if not chosen[group] and size[group] <= most:
                chosen[group] = True
                most -= size[group]
                left -= size[group]
    return chosen


def _by_turns(groups: np.ndarray, stratum: np.ndarray, mark: np.ndarray) -> np.ndarray:
    """Groups in the order in which they are chosen."""
    if not len(groups):
        return groups
    ordered = groups[np.lexsort((mark[groups], stratum[groups]))]
    _, begins, counts = np.unique(stratum[ordered], return_index=True, return_counts=True)
    turn = np.arange(len(ordered)) - np.repeat(begins, counts)
    return ordered[np.lexsort((mark[ordered], turn))]
