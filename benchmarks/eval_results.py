"""Time and memory of the table, the comparison and the rows of a log of 10,000 answers of about 8,000 characters.

One real sample is run by Inspect and written so many times, each with an id, a score and words of its own. Each job
runs in a process of its own. Beside ours stand two ways of Inspect to come to a row each: reading the log, and its
data frame of samples. Peak memory is held against 2 GiB.
"""

import copy
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from arguments import ROOT, parser_of

LIMIT_MIB = 2048
JOBS = {
    "nothing but the imports": "from sinternal_verl.evaluation.results import compare, table",
    "Inspect: read_eval_log": "from inspect_ai.log import read_eval_log; read_eval_log({one!r})",
    "Inspect: samples_df": "from inspect_ai.analysis import samples_df; samples_df({one!r})",
    "table": "from sinternal_verl.evaluation.results.table import write_tables; write_tables({one!r}, {out!r})",
    "rejudge by a rule": (
        "from sinternal_verl.evaluation.results.rejudge import rejudge; rejudge({one!r}, ['refusal_strings'], {out!r})"
    ),
    "compare": "from sinternal_verl.evaluation.results.compare import compare; compare([{one!r}, {two!r}], {out!r})",
}


def write_logs(folder: Path, answers: int) -> list[str]:
    """Two logs of the same items, whose scores differ."""
    sys.path.append(str(ROOT / "tests"))
    from inspect_ai.log import read_eval_log, write_eval_log
    from inspect_logs import run_task, scores_by, verdict

    rng, paths = random.Random(1), []
    words = [f"word{number}" for number in range(2000)]
    log = read_eval_log(run_task(folder, scores_by(lambda *_: verdict(1.0)), ids=[0]).location)
    (sample,) = log.samples
    log.eval.dataset.sample_ids = list(range(answers))
    for number in range(2):
        log.samples = []
        for id in range(answers):
            one = copy.deepcopy(sample)
            one.id = id
            one.output.choices[0].message.content = one.messages[-1].content = " ".join(rng.choices(words, k=1000))
            one.output.completion = one.output.message.text
            one.scores["asr"].value = float(rng.random() < 0.3 - 0.1 * number)
            log.samples.append(one)
        paths.append(str(folder / f"log{number}.eval"))
        write_eval_log(log, paths[-1])
    return paths


def run(code: str) -> tuple[float, float]:
    """Seconds and peak MiB of a piece of Python."""
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{code} ended with {child.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("answers", nargs="?", type=int, default=10_000)
    answers = parser.parse_args().answers
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own, whose memory a child would otherwise start with.
        subprocess.run([sys.executable, __file__, "--write", folder, str(answers)], check=True)
        one, two = (str(Path(folder, f"log{number}.eval")) for number in range(2))
        base = None
        for name, code in JOBS.items():
            seconds, peak = run(code.format(one=one, two=two, out=str(Path(folder, "out"))))
            base = base or seconds
            print(
                f"{name:24} {seconds:6.1f} s {1000 * (seconds - base) / answers:6.2f} ms an answer beyond the imports"
                f"   peak {peak:5.0f} MiB ({peak / LIMIT_MIB:.2f} of the limit)"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write_logs(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
