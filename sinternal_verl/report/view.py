"""What a page shows of a run, and in which words. The page's script draws these and decides nothing."""

from dataclasses import dataclass
from typing import Literal

from sinternal_verl.report.run import Run

Level = Literal["good", "watch", "bad"]


@dataclass(frozen=True)
class Tile:
    """One figure at the top of the page.

    Attributes:
        source: the data source; empty for the whole run.
        label: the figure's name, such as ``safe share``.
        value: the mean of its last steps; None where there is none.
        trend: the change from the first to the last steps, in the unit of the value; None where there are too few.
        unit: ``share``, ``tokens``, ``seconds``, ``reward`` or empty.
        direction: whether ``higher`` or ``lower`` is better; empty where neither is, or where the change is no more
            than noise.
        chart: the id of the chart that shows it.
        spark: the curve's last points, at most 40, for a small line beside the value.
    """

    source: str
    label: str
    value: float | None
    trend: float | None
    unit: str
    direction: str
    chart: str
    spark: tuple[float, ...] = ()


@dataclass(frozen=True)
class Alert:
    """Something that went wrong, or may.

    Attributes:
        name: of the rule, such as ``refusal_rises``.
        text: what was seen, one or two sentences with the figures.
        rule: the rule that says so, one sentence with its limits.
        chart: the id of the chart that shows it.
        step: the step from which it holds.
    """

    name: str
    level: Level
    text: str
    rule: str
    chart: str
    step: int | None = None


@dataclass(frozen=True)
class Line:
    """A curve of a chart: a metric's name, and what the legend calls it. ``held_out`` is the same of validations, drawn
    as points; either metric may be empty. ``filter`` is what of the rollouts the line stands on, within the chart's."""

    label: str
    metric: str
    held_out: str = ""
    filter: dict[str, str] | None = None


@dataclass(frozen=True)
class Chart:
    """A chart: its lines share an axis.

    Attributes:
        section: the heading that it stands under, such as ``Reward`` or ``Time``.
        filter: what of the rollouts it stands on, ``{"source": ...}`` or ``{"outcome": ...}``: a click on a point shows
            those of the point's step. None where it stands on no rollouts.
        stacked: whether the lines are parts of a whole, such as the phases of a step.
        note: one sentence on how to read it.
    """

    id: str
    section: str
    title: str
    unit: str
    lines: tuple[Line, ...]
    filter: dict[str, str] | None = None
    stacked: bool = False
    note: str = ""


@dataclass(frozen=True)
class Difference:
    """A configuration key whose value differs from the recipe's, or from run to run. Values are shown as text."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """What a run was run with: rows of name and value under each heading, then the whole configuration as YAML.

    Attributes:
        facts: by heading (``versions``, ``hardware``, ``seeds``, ``data``), rows of name and value.
        differences: from the recipe; the values are the recipe's and the run's.
        yaml: the resolved configuration, without secrets; empty where the run left none.
    """

    facts: dict[str, tuple[tuple[str, str], ...]]
    differences: tuple[Difference, ...]
    yaml: str


@dataclass(frozen=True)
class View:
    """A run and all that is said of it. ``Run.steps`` has the values of each chart's metrics."""

    run: Run
    tiles: tuple[Tile, ...]
    alerts: tuple[Alert, ...]
    charts: tuple[Chart, ...]
    setting: Setting


@dataclass(frozen=True)
class Summary:
    """A row of the table over several runs: a figure at its end, for each run and over the runs of one configuration.

    Attributes:
        values: by run's name; None where the run has none.
        over: by group of runs that differ in the seed alone: mean, and lower and upper end of the 95 % interval of
            Student's t; the ends are None for a single run.
    """

    label: str
    unit: str
    direction: str
    values: dict[str, float | None]
    over: dict[str, tuple[float, float | None, float | None]]


@dataclass(frozen=True)
class Page:
    """The whole page: one run, or several over one another.

    Attributes:
        differences: keys in which the runs' configurations differ; empty for one run.
        summaries: the table over the runs; empty for one run.
        cautions: sentences on what the table compares although it is not alike.
        made: when and by which version, for the page's foot.
    """

    title: str
    views: tuple[View, ...]
    differences: tuple[Difference, ...] = ()
    summaries: tuple[Summary, ...] = ()
    cautions: tuple[str, ...] = ()
    made: str = ""
