"""`sinternal-verl report RUN...`: runs as one page, and the short of it as text."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from sinternal_verl.commands.messages import PREFIX, fail
from sinternal_verl.did_you_mean import did_you_mean_file
from sinternal_verl.report.compose import make_page
from sinternal_verl.report.find import NoRun, find_run
from sinternal_verl.report.lines import Skipped
from sinternal_verl.report.page import Written, write_page
from sinternal_verl.report.read import TEXT_BYTES, read_run
from sinternal_verl.report.summary import as_text
from sinternal_verl.report.view import Page
from sinternal_verl.report.words import duration

MAX_SHARE = 0.25
"""The most of the time that ``--watch`` spends on reading; a large run is read more rarely than was asked for."""

MAX_QUIET_S = 6 * 3600.0
"""After so many seconds without a new line ``--watch`` ends."""

MAX_FAILURES = 10
"""Reads in a row that may fail, as while a file is moved."""

LOOK_S = 1.0
"""Seconds between two looks at the sizes of files."""


def report(
    runs: Sequence[str],
    out: str,
    watch: float | None,
    rollouts: str | None,
    validation: str | None,
    texts: Literal["sample", "all"],
    seed: int,
) -> int:
    """Write the page and print the short of it; return 0, or 2 with a message.

    Args:
        runs: folders of runs.
        watch: make the page again when files have grown, after as many seconds at least; None makes it once.
        rollouts, validation: folders of dumps, where they are not those of the configuration.
        texts: which texts the page has; ``all`` puts those of all rollouts into files beside it.
        seed: of the sample.
    """
    places, target = [Path(run).expanduser() for run in runs], Path(out).expanduser()
    if problem := _problem(places, watch, rollouts, validation) or _problem_of_page(target):
        return fail(problem)

    dumps = {name: path and Path(path) for name, path in (("rollouts", rollouts), ("validation", validation))}

    def make() -> tuple[Page, Written]:
        found = [read_run(place, text_bytes=TEXT_BYTES // len(places), seed=seed, **dumps) for place in places]
        page = make_page(found)
        target.parent.mkdir(parents=True, exist_ok=True)
        return page, write_page(page, target, reload_s=None if _is_done(page) else watch, texts=texts)

    try:
        _refuse_the_same(places)
        if watch is not None:
            return _watch(make, places, watch)
        page, written = make()
    except (NoRun, OSError) as error:
        return fail(str(error))
    _show(page, written)
    return 0


def _problem(places: Sequence[Path], watch: float | None, rollouts: str | None, validation: str | None) -> str:
    """What is wrong with the words; empty where nothing is."""
    for place in places:
        if _is_missing(place):
            return f"{place} does not exist{did_you_mean_file(str(place))}"
    resolved = [place.resolve() for place in places]
    if again := next((place for place in places if resolved.count(place.resolve()) > 1), None):
        return f"{again} is given twice: give each run once"
    if (rollouts or validation) and len(places) > 1:
        return "--rollouts and --validation are for a single run: make the reports one by one"
    if watch is not None and not watch > 0:
        return f"--watch {watch:g}: give the seconds between two pages, such as --watch 30"
    return ""


def _refuse_the_same(places: Sequence[Path]) -> None:
    """A run twice would look like two that agree, with a narrow interval.

    Raises:
        NoRun: two places hold one run, such as its folder and its metrics file; or one holds none.
    """
    seen: dict[tuple[Path, ...], Path] = {}
    for place in places if len(places) > 1 else ():
        found = find_run(place, Skipped())
        files = tuple(file.resolve() for file in found.metrics or (found.folder,))
        if files in seen:
            raise NoRun(f"{seen[files]} and {place} are the same run: give each run once")
        seen[files] = place


def _is_missing(place: Path) -> bool:
    try:
        return not place.exists()
    except OSError:  # a folder above it is closed; the reader says which
        return False


def _problem_of_page(target: Path) -> str:
    """Why a page could not be written; empty where it could."""
    if str(target) == "-":
        return "--out -: the page is a file, with others beside it; give its name, such as --out report.html"
    if os.path.isdir(target):
        return f"--out {target} is a folder: give a file, such as --out {target / 'report.html'}"
    above = next(folder for folder in target.absolute().parents if os.path.lexists(folder))
    if not os.path.isdir(above):
        return f"--out {target}: {above} is a file, and the page needs a folder; give another place"
    if not os.access(above, os.W_OK | os.X_OK):
        return f"--out {target}: you may not write in {above}; give a file in a folder of yours"
    return ""


def _is_done(page: Page) -> bool:
    return all(view.run.finished for view in page.views)


def _show(page: Page, written: Written) -> None:
    print(as_text(page))
    print(_where(written), flush=True)


def _where(written: Written) -> str:
    holds = f"{written.bytes / 1e6:.1f} MB"
    if written.rollouts:
        of = f" of {written.of:,}" if written.of > written.rollouts else ""
        holds += f"; numbers of {written.rollouts:,}{of} rollouts, texts of {written.texts:,}"
    return f"report: {written.path.absolute()} ({holds})"


def _watch(make: Callable[[], tuple[Page, Written]], places: Sequence[Path], every: float) -> int:
    """Make the page again and again, until all runs have reached their last step or none has grown for `MAX_QUIET_S`.

    Raises:
        NoRun, OSError: the first read failed, or `MAX_FAILURES` in a row did.
    """
    made, failures = 0, 0
    while True:
        before, began = _sizes(places), time.monotonic()
        try:
            page, written = make()
        except (NoRun, OSError) as error:
            failures += 1
            if not made or failures == MAX_FAILURES:
                raise
            _say(f"not read, and tried again in {duration(every)} (at most {MAX_FAILURES} times): {error}")
            time.sleep(every)
            continue
        made, failures, took = made + 1, 0, time.monotonic() - began
        if made == 1 or _is_done(page):
            _show(page, written)
        else:
            print(_where(written), flush=True)
        if _is_done(page):
            return 0
        if not _wait(places, before, max(every, took / MAX_SHARE - took)):
            _say(f"no file has grown for {duration(MAX_QUIET_S)}; the same command looks again")
            return 1


def _wait(places: Sequence[Path], before: dict[Path, int], at_least: float) -> bool:
    """Wait for ``at_least`` seconds, and then until files have grown; False after `MAX_QUIET_S`."""
    began = time.monotonic()
    time.sleep(at_least)
    while _sizes(places) == before:
        if time.monotonic() - began > MAX_QUIET_S:
            return False
        time.sleep(LOOK_S)
    return True


def _sizes(places: Sequence[Path]) -> dict[Path, int]:
    """The sizes of the files that grow with a run: its metrics, or its dumps where it has no metrics."""
    sizes = {}
    for place in places:
        try:
            found = find_run(place, Skipped())
            files = found.metrics or tuple(found.training.iterdir() if found.training else ())
            sizes |= {file: file.stat().st_size for file in files}
        except (NoRun, OSError):  # the next read says it
            continue
    return sizes


def _say(line: str) -> None:
    print(f"{PREFIX}{line}", file=sys.stderr, flush=True)
