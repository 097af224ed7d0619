"""Loads a set: its items in order, and where they are from.

A set is read from a local file (or a folder that holds one, or a dataset of the hub) in the publisher's schema or the
sister repository's, or without a source from where it is published, at a pinned commit. What is not the paper's set is
loaded, too, and `Loaded.origin` says how it differs. A file that is another of our sets is refused.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from sinternal_verl import __version__
from sinternal_verl.data.adapter import Row, RowError
from sinternal_verl.data.readers import Source, SourceError, Unreadable
from sinternal_verl.evaluation.item import Item, plain
from sinternal_verl.evaluation.sets.catalog import SETS, SetError, SetInfo, find_set
from sinternal_verl.evaluation.sets.place import open_set
from sinternal_verl.evaluation.sets.schemas import MathItems, SafetyReader
from sinternal_verl.evaluation.sets.trotter import GOAL_COLUMN, make_attacks, write_attacks

MAX_NAMED = 5
"""How many reasons of bad rows a message names."""


@dataclass(frozen=True)
class Loaded:
    """A set that was read.

    Attributes:
        items: in the set's order.
        origin: for provenance. ``set``, ``title``, ``licence``, ``n``; ``file`` and ``sha256``, or ``hub``, ``commit``
            and the file in it; ``options``; ``content``, the digest of the prompts; ``same``, whether they are the
            prompts of the set as it was known to us (None where that is not known); ``differs``, how they are not;
            ``pin``, what to give to read the same rows again, where a branch of the hub was read; ``schema``, whose
            columns the file has; ``repeated``, rows of a math set that were left out because they came before;
            ``repeated_prompts``, items of a safety set whose prompt came before.
    """

    items: tuple[Item, ...]
    origin: dict[str, Any]


def load(name: str, source: str | None = None, *, revision: str | None = None, **options: Any) -> Loaded:
    """Load a set.

    Args:
        source: a file, a folder with the set's file in it, or a dataset of the hub
            (``owner/name@revision:config/split``); None reads the set where it is published.
        revision: commit of the hub's dataset, instead of the pinned one.
        options: of the set, see `sinternal_verl.evaluation.sets.catalog.SETS`; None takes the default.

    Raises:
        SetError: there is no such set or option, the source cannot be read or is another set, or it has bad rows. The
            message says what to do, and shows no text of a prompt.
    """
    info = find_set(name)
    chosen = info.choose(options)
    if source is not None:
        # These choose a published file. Nothing in a file says which one it is.
        chosen |= {option: options.get(option) for option in ("variant", "goals") if option in chosen}
    try:
        opened, origin = open_set(info, source, revision, chosen)
        items, made = _read(info, opened, chosen)
    except SourceError as error:
        raise SetError(str(error)) from error
    # Options without a list of values are paths, which are of this machine.
    options_said = {option: value for option, value in chosen.items() if value is not None and info.options[option]}
    found = content(bare_prompts(info, items))
    said = {"set": name, "title": info.title, "licence": info.licence, "n": len(items), **origin}
    said |= {"options": options_said} if options_said else {}
    said |= {"content": found, **made, **_compared(info, chosen, items, found), "version": __version__}
    return Loaded(items, said)


def content(prompts: Iterable[str]) -> str:
    """The digest of prompts in order. Space and the forms of Unicode do not count, so that it is the same whatever
    file a set was read from.

    >>> content(["May I  feed the ducks?\\n"]) == content(["May I feed the ducks?"])
    True
    """
    return hashlib.sha256(json.dumps(list(map(plain, prompts))).encode()).hexdigest()


def bare_prompts(info: SetInfo, items: Sequence[Item]) -> list[str]:
    """What `content` is of: the prompts; of a math set, the problems without an instruction."""
    return [item.request if info.is_math else item.prompt for item in items]


def _read(info: SetInfo, opened: Source, chosen: dict[str, Any]) -> tuple[tuple[Item, ...], dict[str, Any]]:
    """The items of a source, and what is to be said of them."""
    rows = opened.rows()
    first = next(rows, None)
    if first is None:
        raise SetError(f"{opened.name} holds no rows; give a file of {info.name}")
    reader, made = None, {}
    items: list[tuple[int, Item]] = []
    bad: defaultdict[str, list[int]] = defaultdict(list)
    for number, row in chain([first], rows):
        try:
            if isinstance(row, Unreadable):
                raise RowError(row.reason)
            if reader is None:
                if info.name == "trotter" and GOAL_COLUMN in row and "attack" not in row:
                    return _hide(info, opened, chosen)
                reader = _reader(info, row, chosen, opened)
            if (item := reader.read(row)) is not None:
                items.append((number, item))
        except RowError as error:
            bad[str(error)].append(number)
    if bad:
        raise SetError(_bad_rows(info, opened, bad))
    if not items:
        keep = "; ".join(f"{name} is {' or '.join(values)}" for name, values in info.columns.keep.items())
        raise SetError(f"{opened.name} has no row of {info.name}: there is none whose {keep}")
    if info.is_math:
        items, repeated = _once(items)
        made |= {"repeated": repeated} if repeated else {}
    _check_ids(info, opened, items)
    found = [item for _, item in items]
    if repeated := len(found) - len({item.prompt for item in found}):
        made["repeated_prompts"] = repeated
    made["schema"] = "original" if reader.is_original else "sister"
    if info.shuffle is not None and reader.is_original:
        made["shuffle"] = info.shuffle
        found = _shuffled(found, info.shuffle)
        if chosen.get("subset") == "paper":
            found = found[: info.n]
    if info.name == "trotter":
        made |= _seed_of(opened, found, chosen)
    if chosen.get("goals") and info.name == "jailbreak_r1":
        found, made["goals"] = _with_goals(info, opened, reader, found, chosen["goals"])
    _check_content(info, opened, found)
    found = _named(info, found)
    return tuple(_chosen(info, opened, found, chosen)), made


def _reader(info: SetInfo, first: Row, chosen: dict[str, Any], opened: Source) -> SafetyReader | MathItems:
    try:
        if info.is_math:
            return MathItems(info, first, boxed=chosen["instruction"] == "boxed")
        return SafetyReader(info, first)
    except RowError as error:
        raise SetError(f"{opened.name} is no file of {info.name}: {error}") from error


def _bad_rows(info: SetInfo, opened: Source, bad: Mapping[str, Sequence[int]]) -> str:
    """The rows that cannot be used, by reason."""
    rows = sum(map(len, bad.values()))
    lines = [f"{len(numbers):,} rows, first {opened.place.format(numbers[0])}: {why}" for why, numbers in bad.items()]
    more = [f"and {len(lines) - MAX_NAMED:,} other reasons"] if len(lines) > MAX_NAMED else []
    listed = "\n  ".join([*lines[:MAX_NAMED], *more])
    return f"{rows:,} rows of {opened.name} cannot be read as {info.name}; repair them, or name their set:\n  {listed}"


def _hide(info: SetInfo, opened: Source, chosen: dict[str, Any]) -> tuple[tuple[Item, ...], dict[str, Any]]:
    """Make attacks of bare goals."""
    seed = 1 if chosen["seed"] is None else chosen["seed"]
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise SetError(f"trotter: seed={seed!r}; give a whole number, such as 1")
    attacks = make_attacks(opened, seed)
    said: dict[str, Any] = {"schema": "goals", "seed": seed}
    if chosen["save"]:
        said["saved"] = write_attacks(Path(chosen["save"]).expanduser(), attacks)
    reader = SafetyReader(info, attacks[0])
    return tuple(filter(None, map(reader.read, attacks))), said


def _seed_of(opened: Source, items: Sequence[Item], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The seed of attacks that were made before."""
    seeds = {item.metadata.get("seed") for item in items}
    if len(seeds) > 1:
        raise SetError(f"{opened.name} holds attacks of several seeds; make them anew of their goals")
    seed = seeds.pop()
    # A CSV file has its numbers as texts.
    if chosen["seed"] is not None and str(chosen["seed"]) != str(seed):
        raise SetError(
            f"{opened.name} holds attacks of the seed {seed}, not {chosen['seed']}; leave out one of the two"
        )
    if chosen["save"]:
        raise SetError(f"{opened.name} holds attacks already; leave out save={chosen['save']}")
    return {} if seed is None else {"seed": seed}


def _once(items: list[tuple[int, Item]]) -> tuple[list[tuple[int, Item]], int]:
    """Each problem once, and how many rows were repeated: some files hold each problem 32 times."""
    seen: set[tuple[str, str]] = set()
    kept = []
    for number, item in items:
        if (item.id, item.target) not in seen:
            seen.add((item.id, item.target))
            kept.append((number, item))
    return kept, len(items) - len(kept)


def _check_ids(info: SetInfo, opened: Source, items: list[tuple[int, Item]]) -> None:
    what = "problem with two answers" if info.is_math else "id"
    first: dict[str, int] = {}
    for number, item in items:
        if item.id and first.setdefault(item.id, number) != number:
            rows = f"{opened.where(first[item.id])} and {opened.where(number)}"
            # A user's ids may be prompts: the rows name them.
            raise SetError(f"two rows of {info.name} have one {what}: {rows}; leave out one of the two")


def _check_content(info: SetInfo, opened: Source, items: Sequence[Item]) -> None:
    """Refuse the prompts of another set."""
    found = content(bare_prompts(info, items))
    others = [other.name for other in SETS.values() if other is not info and found in other.content.values()]
    if others:
        what = f"{opened.name} holds the {len(items)} prompts of {others[0]}, not those of {info.name}"
        raise SetError(f"{what}; name that set, or give another file")


def _shuffled(items: list[Item], seed: int) -> list[Item]:
    """The items in the order of `datasets.Dataset.shuffle` with this seed."""
    import numpy as np

    return [items[place] for place in np.random.default_rng(seed).permutation(len(items))]


def _with_goals(
    info: SetInfo, opened: Source, reader: SafetyReader | MathItems, items: list[Item], goals: str
) -> tuple[list[Item], dict[str, Any]]:
    """The items with the requests of StrongREJECT's rows, row by row."""
    if reader.is_original:
        raise SetError(f"{opened.name} has its own column {info.columns.request}; leave out goals={goals}")
    requests = load("strongreject", goals)
    if len(requests.items) != len(items):
        counts = f"{opened.name} has {len(items)} rows, {goals} has {len(requests.items)}"
        raise SetError(f"{counts}: row i of {info.name} rewrites row i of strongreject, so give the files that belong")
    kept = ("file", "sha256", "hub", "commit", "content", "differs")
    origin = {name: value for name, value in requests.origin.items() if name in kept}
    return [replace(item, request=goal.prompt) for item, goal in zip(items, requests.items, strict=True)], origin


def _named(info: SetInfo, items: list[Item]) -> list[Item]:
    """The items with ids: those that they have; those known of the set, where it has its content; else the numbers."""
    if all(item.id for item in items):
        return items
    ids = [str(id) for first, last in info.ids for id in range(first, last + 1)]
    if len(ids) != len(items) or content(bare_prompts(info, items)) not in info.content.values():
        ids = [str(number) for number in range(len(items))]
    return [replace(item, id=id) for item, id in zip(items, ids, strict=True)]


def _chosen(info: SetInfo, opened: Source, items: list[Item], chosen: dict[str, Any]) -> list[Item]:
    """The items of the half or kind that was asked for."""
    if (half := chosen.get("half", "all")) != "all":
        label = "benign" if half == "safe" else "harmful"
        kept = [item for item in items if item.label == label]
    elif (kind := chosen.get("functional", "all")) != "all":
        kept = [item for item in items if item.metadata.get("FunctionalCategory") == kind]
        half = kind
    else:
        return items
    if not kept:
        raise SetError(f"{opened.name} has no row of {info.name} that is {half}")
    return kept


def _compared(info: SetInfo, chosen: dict[str, Any], items: Sequence[Item], found: str) -> dict[str, Any]:
    """Whether these are the prompts of the set, and if not, how they differ."""
    part = _part(chosen)
    wanted, n = info.content.get(part), info.n if part == "paper" else None
    differs = []
    if n is not None and len(items) != n:
        differs.append(f"{len(items)} prompts, the paper's set has {n}")
    elif wanted and found != wanted:
        differs.append("its prompts, or their order, are not those known of the set")
    if wanted is None and not differs:
        return {"same": None}
    return {"same": not differs and found == wanted} | ({"differs": "; ".join(differs)} if differs else {})


def _part(chosen: dict[str, Any]) -> str:
    """The choice of rows, as `SetInfo.content` names it."""
    for option in ("half", "subset", "functional", "variant"):
        if value := chosen.get(option):
            return "paper" if value in ("safe", "paper") else value
    return "paper"
