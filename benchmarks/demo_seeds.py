"""The demo on three seeds, against its limits: held-out accuracy, time and memory.

Usage: python benchmarks/demo_seeds.py [folder] [seed ...]
"""

import sys
import threading
from pathlib import Path

import psutil

from sinternal_verl.demo import train

BEFORE_AT_MOST, AFTER_AT_LEAST, MINUTES_AT_MOST, GIB_AT_MOST = 0.5, 0.8, 12, 12


class PeakMemory(threading.Thread):
    """Largest drop of the machine's available memory since the start, in GiB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._start, self._done, self.gib = psutil.virtual_memory().available, threading.Event(), 0.0

    def run(self) -> None:
        while not self._done.wait(0.5):
            self.gib = max(self.gib, (self._start - psutil.virtual_memory().available) / 2**30)

    def stop(self) -> float:
        self._done.set()
        return self.gib


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "outputs/demo_seeds").absolute()
    seeds = [int(seed) for seed in sys.argv[2:]] or [1, 2, 3]
    rows = []
    for seed in seeds:
        memory = PeakMemory()
        memory.start()
        result = train(folder / f"seed_{seed}", seed)
        rows.append((result, memory.stop()))
    print("\nseed   before (T=1)   after (T=1)   greedy before -> after   minutes   GiB   limits")
    for result, gib in rows:
        kept = (
            result.sampled_before <= BEFORE_AT_MOST
            and result.sampled_after >= AFTER_AT_LEAST
            and result.seconds / 60 <= MINUTES_AT_MOST
            and gib <= GIB_AT_MOST
        )
        print(
            f"{result.seed:4}   {result.sampled_before:12.2f}   {result.sampled_after:11.2f}   "
            f"{result.greedy_before:13.2f} -> {result.greedy_after:.2f}   {result.seconds / 60:7.1f}   {gib:3.1f}   "
            f"{'kept' if kept else 'BROKEN'}"
        )


if __name__ == "__main__":
    main()
