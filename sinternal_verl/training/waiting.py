"""The wait for rollouts polls often and is bounded.

verl polls every two seconds, which rounds up the time of every generation. It also polls for ever: one
reward or tool call that hangs holds the whole run (verl 0.9.1). Here the wait ends when nothing has moved
for ``no_progress_s``.

A look reads the tags of every rollout, so it takes longer the more there are. The time between two looks grows with it:
TransferQueue, which answers the look, also takes the rollouts.
"""

import time
from collections.abc import Callable

from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer, ReplayBufferAsync

MAX_LOOKING = 0.1
"""The largest share of the wait that looks may take."""

MAX_POLL_S = 2.0
"""The longest time between two looks, verl's own; `BoundedWait.poll_s` may be longer."""


class NoProgress(RuntimeError):
    """No rollout began or ended for longer than the configured time."""


class BoundedWait:
    """Mixin for verl's replay buffers; it adds a deadline in the one place where they wait.

    Progress is any change in what TransferQueue reports: a prompt that starts or ends, or a rollout that
    arrives.
    """

    poll_s: float
    no_progress_s: float
    on_first: Callable[[], None] | None = None

    def sample(self, *args, **kwargs):
        self._moved()
        sampled = super().sample(*args, **kwargs)
        self._first_is_here()
        return sampled

    def _first_is_here(self) -> None:
        """Call ``on_first`` once, when the first rollout has arrived."""
        tell, self.on_first = self.on_first, None
        if tell:
            tell()

    def _moved(self) -> None:
        self._seen, self._moved_at = None, time.monotonic()

    def _sync_metadata_from_transfer_queue(self) -> None:
        begun = time.monotonic()
        super()._sync_metadata_from_transfer_queue()
        self.poll_interval = poll_interval(self.poll_s, time.monotonic() - begun)

    def _wait_for_next_poll(self, partition_id: str, last_debug_time: float) -> float:
        states = {
            name: len(getattr(self, f"{name}_keys")[partition_id])
            for name in ("pending", "running", "finished", "failure")
        }
        seen = (*states.values(), len(self.partitions[partition_id]))
        if seen[-1]:
            self._first_is_here()
        if seen != self._seen:
            self._seen, self._moved_at = seen, time.monotonic()
        elif time.monotonic() - self._moved_at > self.no_progress_s:
            prompts = ", ".join(f"{count} {name}" for name, count in states.items())
            raise NoProgress(
                f"no rollout of partition {partition_id!r} began or ended for {self.no_progress_s:g} s (prompts: "
                f"{prompts}; rollouts here: {seen[-1]}). A rollout server, a reward or a tool call hangs: see the log "
                "above, or raise sinternal.rollout.no_progress_s if responses take that long"
            )
        return super()._wait_for_next_poll(partition_id, last_debug_time)


def poll_interval(poll_s: float, look_s: float) -> float:
    """Seconds to wait after a look that took ``look_s``, at least ``poll_s``.

    >>> poll_interval(0.05, 0.001), round(poll_interval(0.05, 0.165), 3), poll_interval(0.05, 5.0)
    (0.05, 1.485, 2.0)
    """
    return max(poll_s, min(look_s * (1 - MAX_LOOKING) / MAX_LOOKING, MAX_POLL_S))


class BoundedReplayBuffer(BoundedWait, ReplayBuffer):
    """verl's sync replay buffer with a deadline."""


class BoundedReplayBufferAsync(BoundedWait, ReplayBufferAsync):
    """verl's async replay buffer with a deadline."""

    def wait_for_sampleable(self, *args, **kwargs):
        self._moved()
        return super().wait_for_sampleable(*args, **kwargs)


BOUNDED = {ReplayBuffer: BoundedReplayBuffer, ReplayBufferAsync: BoundedReplayBufferAsync}


def bound_the_wait(
    buffer: ReplayBuffer, poll_s: float, no_progress_s: float, on_first: Callable[[], None] | None = None
) -> ReplayBuffer:
    """Give one of verl's own replay buffers a deadline; a user's own sampler gets only the polling period.

    Args:
        poll_s: seconds between two polls, where a look takes little.
        no_progress_s: seconds without progress after which `NoProgress` is raised.
        on_first: called when the first rollout has arrived.
    """
    buffer.poll_interval = poll_s
    if type(buffer) in BOUNDED:
        # verl chooses the arguments by the exact class it builds, so the class changes afterwards.
        buffer.__class__ = BOUNDED[type(buffer)]
        buffer.poll_s, buffer.no_progress_s, buffer.on_first = poll_s, no_progress_s, on_first
    return buffer
