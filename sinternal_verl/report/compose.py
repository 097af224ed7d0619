"""Makes a page of runs: what each has, what is said of it, and how several compare."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from itertools import takewhile

from sinternal_verl.report.alerts import find_alerts
from sinternal_verl.report.charts import make_charts
from sinternal_verl.report.derived import with_derived
from sinternal_verl.report.facts import Facts
from sinternal_verl.report.rules import RULES
from sinternal_verl.report.run import Run
from sinternal_verl.report.setting import make_setting
from sinternal_verl.report.several import cautions, differences, summaries
from sinternal_verl.report.tiles import make_tiles
from sinternal_verl.report.view import Page, View
from sinternal_verl.runs.record import version_of

_SHARED = re.compile(r"(.*\w)[^\w\s]*[_/ -]+", re.DOTALL)
"""What names begin with, up to the last sign between words."""


def make_page(runs: Sequence[Run], *, now: datetime | None = None) -> Page:
    """The page of one run, or of several over one another. Their names are short, and each is another one.

    Args:
        now: the time, with which a run that has gone silent is found; None takes the clock's.
    """
    now = now or datetime.now(timezone.utc)
    runs, title = _named(runs)
    views = tuple(make_view(run, now) for run in runs)
    named = [view.run for view in views]
    several = len(views) > 1
    return Page(
        title=title,
        views=views,
        differences=differences(named) if several else (),
        summaries=summaries(views) if several else (),
        cautions=cautions(views) if several else (),
        made=f"{now.isoformat(timespec='seconds')}, sinternal_verl {version_of('sinternal_verl')}",
    )


def make_view(run: Run, now: datetime) -> View:
    """What the page says of a run."""
    run = with_derived(run)
    facts = Facts(run)
    return View(run, make_tiles(facts), find_alerts(facts, RULES, now), make_charts(facts), make_setting(run))


def _named(runs: Sequence[Run]) -> tuple[list[Run], str]:
    """The runs, each with a name of its own that is short, and the title of their page.

    What all names begin with stands in the title alone. Where runs have one name, the folder above theirs tells them
    apart, and then a number.
    """
    counts = Counter(run.name for run in runs)
    names = [f"{run.folder.parent.name}/{run.name}" if counts[run.name] > 1 else run.name for run in runs]
    again, seen = Counter(names), Counter[str]()
    for place, name in enumerate(names):
        seen[name] += 1
        names[place] = f"{name} ({seen[name]})" if again[name] > 1 else name
    if len(names) == 1:
        return list(runs), names[0]
    alike = takewhile(lambda signs: len(set(signs)) == 1, zip(*names, strict=False))
    shared = _SHARED.match("".join(signs[0] for signs in alike))
    begin = shared[0] if shared and all(len(name) > shared.end() for name in names) else ""
    apart = [replace(run, name=name.removeprefix(begin)) for run, name in zip(runs, names, strict=True)]
    return apart, f"{len(names)} runs{f' of {shared[1]}' if begin else ''}"
