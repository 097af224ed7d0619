"""Makes a page of runs: what each has, what is said of it, and how several compare."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone

from sinternal_verl.report.alerts import find_alerts
from sinternal_verl.report.charts import make_charts
from sinternal_verl.report.derived import with_derived
from sinternal_verl.report.facts import Facts
from sinternal_verl.report.rules import RULES
from sinternal_verl.report.run import Run
from sinternal_verl.report.setting import make_setting
from sinternal_verl.report.several import differences, summaries
from sinternal_verl.report.tiles import make_tiles
from sinternal_verl.report.view import Page, View
from sinternal_verl.runs.record import version_of


def make_page(runs: Sequence[Run], *, now: datetime | None = None) -> Page:
    """The page of one run, or of several over one another. Runs of the same name get a number.

    Args:
        now: the time, with which a run that has gone silent is found; None takes the clock's.
    """
    now = now or datetime.now(timezone.utc)
    views = tuple(make_view(run, now) for run in _told_apart(runs))
    named = [view.run for view in views]
    several = len(views) > 1
    return Page(
        title=" and ".join(run.name for run in named) if len(named) < 3 else f"{len(named)} runs",
        views=views,
        differences=differences(named) if several else (),
        summaries=summaries(views) if several else (),
        made=f"{now.isoformat(timespec='seconds')}, sinternal_verl {version_of('sinternal_verl')}",
    )


def make_view(run: Run, now: datetime) -> View:
    """What the page says of a run."""
    run = with_derived(run)
    facts = Facts(run)
    return View(run, make_tiles(facts), find_alerts(facts, RULES, now), make_charts(facts), make_setting(run))


def _told_apart(runs: Sequence[Run]) -> list[Run]:
    """The runs, each with a name of its own: its folder's where the name is another's, too, and then a number."""
    counts = Counter(run.name for run in runs)
    names = [f"{run.folder.parent.name}/{run.name}" if counts[run.name] > 1 else run.name for run in runs]
    again, seen = Counter(names), Counter[str]()
    apart = []
    for run, name in zip(runs, names, strict=True):
        seen[name] += 1
        apart.append(replace(run, name=f"{name} ({seen[name]})" if again[name] > 1 else name))
    return apart
