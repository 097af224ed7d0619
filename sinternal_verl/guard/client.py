"""How a reward worker asks the guard's replicas: it finds them by name, chooses by load, and waits for a bounded time.

A request goes to the replica that has the fewest of this client's requests. Its time limit begins when the replica
admits it; until then it waits for its turn (`sinternal_verl.guard.window`). A replica that dies, refuses or hangs is
left alone for a moment, and the request goes to another one. Where there are several replicas, a single try may take
half of the time limit, so that no verdict is lost to a replica that hangs. A request fails when its time limit is used
up, and when all replicas have failed and answered nothing for `MAX_SILENCE` time limits.
"""

import asyncio
import math
import random
import time
from itertools import chain
from typing import Any

import ray

from sinternal_verl.guard.clock import clock_of_this_sample
from sinternal_verl.guard.errors import GuardUnavailable, QueueFull
from sinternal_verl.guard.judge import Generated, Judgement, Refusal
from sinternal_verl.guard.mailbox import MAX_CALLS, Mailbox
from sinternal_verl.guard.replica import NAME
from sinternal_verl.guard.window import MAX_SILENCE

HEALTH_TIMEOUT_S = 5.0
"""How long a replica has to say that it works."""

MAX_DEATHS = 3
"""How many deaths of replicas a request may see: one that kills whoever reads it must not end them all."""

RETRY_REPLICA_S = 1.0
"""How long a replica that failed is left alone."""


class ReplicaClient:
    """`Backend` over the replicas of this job.

    Args:
        replicas: their actor handles.
        timeout_s: seconds that one request may take after a replica has admitted it.
        max_calls: see `Mailbox`.

    Raises:
        GuardUnavailable: there are no handles.
    """

    def __init__(self, replicas: list[Any], timeout_s: float = 60.0, max_calls: int = MAX_CALLS) -> None:
        if not replicas:
            raise GuardUnavailable("no guard replicas: the trainer starts them, see sinternal.guard.replicas")
        self._replicas, self._timeout_s = [Mailbox(replica, max_calls) for replica in replicas], timeout_s
        # With one replica there is nowhere else to go.
        self._try_s = timeout_s / 2 if len(replicas) > 1 else timeout_s
        self._outstanding = [0] * len(replicas)
        # Otherwise all clients that ask seldom would ask the first replica.
        self._first = random.randrange(len(replicas))
        self._rests_until = [0.0] * len(replicas)
        self._answered_at = [-math.inf] * len(replicas)

    @classmethod
    def look_up(cls, replicas: int, timeout_s: float = 60.0, max_calls: int = MAX_CALLS) -> "ReplicaClient":
        """The client of the replicas that `start_guard` started in this job.

        Raises:
            GuardUnavailable: a replica is missing.
        """
        try:
            return cls([ray.get_actor(NAME.format(number)) for number in range(replicas)], timeout_s, max_calls)
        except ValueError as error:
            raise GuardUnavailable(f"{error}: the trainer starts the guard's replicas before it samples") from error

    async def judge(self, user: str, assistant: str, refusal: Refusal = True) -> Judgement:
        """See `Backend.judge`."""
        return await self._ask("judge", user, assistant, refusal)

    async def generate(self, ids: list[int], tokens: int) -> Generated:
        """Continue these token ids greedily by at most ``tokens`` tokens, without the guard's template.

        Raises:
            ValueError: there are more tokens than the engine takes.
            TimeoutError, GuardUnavailable: see `Backend.judge`.
        """
        return await self._ask("generate", ids, tokens)

    async def faults(self) -> dict[str, str]:
        """What is wrong with which replica, by name; all are asked at once, for at most `HEALTH_TIMEOUT_S`."""
        said = await asyncio.gather(*(self._fault(mailbox) for mailbox in self._replicas))
        return {f"replica {number}": fault for number, fault in enumerate(said) if fault}

    async def _fault(self, mailbox: Mailbox) -> str | None:
        try:
            # The whole call is bounded: an actor that is stuck does not keep the time itself.
            await asyncio.wait_for(mailbox.ask("works", within_s=HEALTH_TIMEOUT_S), HEALTH_TIMEOUT_S)
        except (TimeoutError, asyncio.TimeoutError):
            return f"no answer within {HEALTH_TIMEOUT_S:g} s"
        except ray.exceptions.RayActorError as error:
            return f"died: {str(error).splitlines()[-1]}"
        except (ray.exceptions.RayError, RuntimeError, ValueError) as error:
            return f"{type(error).__name__}: {str(error).splitlines()[-1]}"
        return None

    async def close(self) -> None:
        """Do nothing: the replicas belong to the trainer."""

    async def _ask(self, method: str, *arguments: Any) -> Any:
        clock = clock_of_this_sample()
        failed: set[int] = set()
        deaths, died_at = 0, dict.fromkeys(range(len(self._replicas)), -math.inf)
        with clock.at_the_guard():
            left, last, asked = min(self._timeout_s, clock.left_s), "", time.monotonic()
            while left > 0:
                number, started, within_s = self._least_loaded(failed), time.monotonic(), min(left, self._try_s)
                self._outstanding[number] += 1
                rest_s = RETRY_REPLICA_S
                try:
                    result = await self._replicas[number].ask(method, *arguments, within_s=within_s)
                    self._answered_at[number] = time.monotonic()
                    return result
                except (TimeoutError, asyncio.TimeoutError) as error:
                    left -= within_s
                    last = f"replica {number} did not answer within {within_s:.3g} s" + (
                        f": {error}" * bool(str(error))
                    )
                    if self._answered_at[number] < started:
                        rest_s = within_s  # it answered no other request either
                except ray.exceptions.RayActorError as error:
                    last = f"replica {number} died: {str(error).splitlines()[-1]}"
                    # While Ray restarts a replica, it refuses each call as if it died again.
                    deaths += self._answered_at[number] >= died_at[number]
                    died_at[number] = time.monotonic()
                    if deaths >= MAX_DEATHS:
                        raise GuardUnavailable(
                            f"{deaths} times a replica died that had this request: {last}"
                        ) from error
                except QueueFull as error:
                    last = f"replica {number} is full: {str(error).splitlines()[-1]}"
                    rest_s = max(RETRY_REPLICA_S, error.retry_s)
                    self._answered_at[number] = max(self._answered_at[number], time.monotonic() - error.silent_s)
                finally:
                    self._outstanding[number] -= 1
                now = time.monotonic()
                self._rests_until[number] = now + rest_s
                failed.add(number)
                silent_until = max(asked, *self._answered_at) + MAX_SILENCE * self._timeout_s
                # A replica that did not fail may only have been asked nothing meanwhile: it is tried once.
                hope = any(n not in failed and until <= now for n, until in enumerate(self._rests_until))
                if left > 0 and now >= silent_until and not hope:
                    raise GuardUnavailable(f"no verdict within {MAX_SILENCE * self._timeout_s:g} s: {last}")
                if left > 0:
                    # No wait while some replica has not failed; once all have, wait until one may be asked again.
                    await asyncio.sleep(max(min(min(self._rests_until), silent_until) - now, 0))
        raise TimeoutError(f"no verdict within {self._timeout_s:g} s: {last}")

    def _least_loaded(self, failed: set[int]) -> int:
        """The replica to ask next, rather one that has not ``failed`` this request."""
        now = time.monotonic()
        order = (range(self._first, len(self._replicas)), range(self._first))
        return min(chain(*order), key=lambda n: (self._rests_until[n] > now, n in failed, self._outstanding[n]))
