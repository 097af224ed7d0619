"""What went wrong in a run, or may: the rules, each with its limits as data and a sentence that states them.

A rule compares means of several steps (`sinternal_verl.report.curve`), so that a single odd step is no alarm, and a
change counts only where it exceeds the noise between steps. A rule that finds nothing to look at says so.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from sinternal_verl.report.charts import chart_id
from sinternal_verl.report.curve import SIGMAS, WINDOW
from sinternal_verl.report.facts import Facts, Lacking
from sinternal_verl.report.view import Alert, Level

LEVELS: tuple[Level, ...] = ("bad", "watch", "good")
"""In the order of the page."""


@dataclass(frozen=True)
class Found:
    """What a rule saw.

    Attributes:
        chart: kind of the chart that shows it, and the source or metric whose chart it is.
        since: the step from which it holds.
    """

    level: Level
    text: str
    chart: tuple[str, ...]
    since: int | None = None


@dataclass(frozen=True)
class Rule:
    """A rule, and the limits that its sentence names.

    Attributes:
        name: such as ``refusal_rises``.
        says: the rule in one sentence, with the limits in braces.
        look: yields what it finds in a run.
        mains: kinds of runs that it is for.

    >>> rule = Rule("slow", "A step takes {watch:g} s.", lambda facts, rule, now: iter(()), {"watch": 60})
    >>> rule.sentence
    'A step takes 60 s.'
    """

    name: str
    says: str
    look: Callable[[Facts, "Rule", datetime], Iterator[Found]]
    limits: dict[str, float] = field(default_factory=dict)
    mains: tuple[str, ...] = ("grpo",)

    @property
    def sentence(self) -> str:
        return self.says.format(**self.limits, window=WINDOW, sigmas=SIGMAS)

    def level(self, value: float, watch: str = "watch", bad: str = "bad") -> Level | None:
        """The level of a value that is bad when it is high; None below both limits.

        Args:
            watch, bad: names of the limits.
        """
        if bad in self.limits and value >= self.limits[bad]:
            return "bad"
        return "watch" if value >= self.limits[watch] else None


def find_alerts(facts: Facts, rules: tuple[Rule, ...], now: datetime) -> tuple[Alert, ...]:
    """What the rules find, the worst first, and last how many of them could look.

    Args:
        now: the time, with which a run that has gone silent is found.
    """
    alerts, blind = [], []
    rules = tuple(rule for rule in rules if facts.run.kind in rule.mains)
    for rule in rules:
        try:
            found = list(rule.look(facts, rule, now))
        except Lacking as lacking:
            blind.append(f"{rule.name} ({lacking})")
            continue
        alerts += [
            Alert(rule.name, each.level, each.text, rule.sentence, chart_id(*each.chart), each.since) for each in found
        ]
    alerts.sort(key=lambda alert: LEVELS.index(alert.level))
    return (*alerts, _looked(len(rules), len(alerts), blind))


def _looked(rules: int, alerts: int, blind: list[str]) -> Alert:
    text = f"{rules - len(blind)} of {rules} rules could look" + ("" if alerts else ", and found nothing") + "."
    rule = "Each rule looks where the run has left what it needs."
    if blind:
        text += f" {len(blind)} had nothing to look at."
        rule += f" These found nothing to look at: {'; '.join(blind)}."
    return Alert("rules", "good", text, rule, "")
