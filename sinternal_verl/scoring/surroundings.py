"""What stands around an answer and is no part of it: quotation marks, and what aligns its lines."""

from sinternal_verl.scoring.symbols import ROW

QUOTES = frozenset(("'", "''", "`"))
RELATIONS = frozenset("=∈<>≤≥≠≈≡⇒→")


def without_quotes(items: list[str]) -> list[str]:
    """The items within quotation marks around all of them. At the beginning no mark is a prime."""
    start, end = 0, len(items)
    while start < end and items[start] in QUOTES:
        start += 1
    while start < end and items[end - 1] in QUOTES:
        end -= 1
    return items[start:end]


def without_alignment(items: list[str]) -> list[str]:
    """The items without each ``&`` that aligns lines, at the beginning of one or beside a relation. In a matrix it
    separates entries."""
    depth, kept = 0, []
    for number, item in enumerate(items):
        depth += (item[0] == "⟦") - (item == "⟧")
        beside = {ROW if number == 0 else items[number - 1], *items[number + 1 : number + 2]}
        if item != "&" or depth or (beside.isdisjoint(RELATIONS) and ROW not in beside):
            kept.append(item)
    return kept
