"""Runs verl's SFT main several times with one start: `torchrun sft_mains.py RUNS.JSON`.

RUNS.JSON holds for each run ``words``, ``log`` and ``metrics``. Each run is a process of its own, forked after verl was
imported, which takes longer than a run of a few steps. Printed is a line of JSON: the exit codes.
"""

import json
import os
import sys
import traceback
from pathlib import Path

from verl.trainer.sft_trainer import main


def run(words: list[str], log: str, metrics: str) -> int:
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ["VERL_FILE_LOGGER_PATH"] = metrics
        sys.argv = ["sft_trainer", *words]
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    # As Python reports it where nothing does.
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    print(json.dumps([run(**each) for each in json.loads(Path(sys.argv[1]).read_text())]), flush=True)
