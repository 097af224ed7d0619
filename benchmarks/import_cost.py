"""Seconds `import verl` costs more with the plugin than without, as verl's processes pay it.

Both are measured in turn in this run, each in a process of its own; the ratio is to the limit of
0.15 s.
"""

import os
import statistics
import subprocess
import sys

from arguments import parser_of

LIMIT_S = 0.15
CODE = "import time; start = time.perf_counter(); import verl; print(time.perf_counter() - start)"


def import_seconds(plugins: str) -> float:
    environment = os.environ | {"VERL_USE_EXTERNAL_PLUGINS": plugins}
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("pairs", nargs="?", type=int, default=9)
    pairs = parser.parse_args().pairs
    import_seconds("none")  # fills the file cache
    measured = [(import_seconds("none"), import_seconds("sinternal_verl")) for _ in range(pairs)]
    without, with_plugin = (statistics.median(column) for column in zip(*measured, strict=True))
    extra = statistics.median(b - a for a, b in measured)
    print(f"import verl   without {without:.2f} s   with {with_plugin:.2f} s   (medians of {pairs})")
    print(f"the plugin    {extra:+.3f} s   {extra / LIMIT_S:.2f} of the limit of {LIMIT_S} s")


if __name__ == "__main__":
    main()
