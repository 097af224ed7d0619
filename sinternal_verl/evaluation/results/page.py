"""Tables as one HTML page that needs no other file and fits light and dark, wide and narrow screens."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2

from sinternal_verl.data.schema import write_whole
from sinternal_verl.evaluation.results.grid import Grid

TEMPLATE = Path(__file__).with_name("page.html")

Bar = tuple[float, float, float] | None
"""Value, low and high, each from 0 to 1; None for no bar."""


def write_page(
    path: Path,
    title: str,
    top: str,
    grids: Sequence[Grid],
    notes: Sequence[str],
    bars: Mapping[str, tuple[str, Sequence[Bar]]] | None = None,
) -> None:
    """Write tables and notes to a page.

    Args:
        top: the line below the title.
        bars: by the title of a grid: the column in which bars stand, and the bar of each row.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    write_whole(path, template.render(title=title, top=top, notes=notes, tables=[_table(g, bars or {}) for g in grids]))


def _table(grid: Grid, bars: Mapping[str, tuple[str, Sequence[Bar]]]) -> dict:
    column, drawn = bars.get(grid.title, ("", ()))
    kept = grid.kept()
    heads = [(grid.columns[place], grid.columns[place] in grid.numbers) for place in kept]
    rows = [
        [
            {
                "name": name,
                "text": row[place],
                "right": right,
                "bar": drawn[number] if drawn and name == column else None,
            }
            for place, (name, right) in zip(kept, heads, strict=True)
        ]
        for number, row in enumerate(grid.rows)
    ]
    return {"title": grid.title, "heads": heads, "rows": rows}
