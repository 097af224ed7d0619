"""Cards: by name, as ``cards.yaml`` describes them, or with figures that are given."""

import re
from dataclasses import dataclass, fields, replace

from sinternal_verl.did_you_mean import did_you_mean
from sinternal_verl.plan.factors import read

ALIASES = {"a100": "a100-80"}

LEAST = {"flops": 1e9, "bandwidth": 1e8, "memory": 0.5, "link": 1e8, "network": 1e7, "pcie": 1e8}
"""A figure below this was given in another unit."""

MOST = {"flops": 1e18, "bandwidth": 1e15, "memory": 1e4, "link": 1e15, "network": 1e15, "pcie": 1e15}
"""So is a figure above this: memory is in GB, and the others are not."""

UNITS = {"memory": "GB"} | dict.fromkeys(("bandwidth", "link", "network", "pcie"), "bytes/s") | {"flops": "FLOP/s"}


OTHER_FORMS = frozenset({"pcie", "nvl"})
"""Words in the names of slower cards: an H100 PCIe has 0.76 of the FLOP/s and 0.6 of the bandwidth of an SXM5."""


class UnknownCard(ValueError):
    """No card of this name, or figures that describe none; the message says what can be given."""


@dataclass(frozen=True)
class Card:
    """A card's peaks; see ``cards.yaml`` for what each is."""

    name: str
    flops: float
    bandwidth: float
    memory: float
    link: float
    network: float
    pcie: float
    source: str

    @classmethod
    def named(cls, name: str) -> "Card":
        """
        Raises:
            UnknownCard: there is no card of this name.
        """
        known = read("cards.yaml")
        name = ALIASES.get(name, name)
        if name not in known:
            names = sorted({*known, *ALIASES})
            raise UnknownCard(
                f"--card {name}: there is no such card{did_you_mean(name, names)}; known are {', '.join(names)}; "
                'another is given by its figures: --card "flops=989e12 bandwidth=3.35e12 memory=80"'
            )
        return cls(name=name, **known[name])


FIGURES = tuple(field.name for field in fields(Card) if field.name not in ("name", "source"))
NEEDED = ("flops", "bandwidth", "memory")


def card_of(text: str) -> Card:
    """A card from its name, or from figures such as ``flops=989e12 bandwidth=3.35e12 memory=80``.

    What is not given of link, network and PCIe is taken from the H100. A name may stand before the figures, which then
    change that card.

    >>> card_of("h100").memory, card_of("h100 memory=94").memory
    (80, 94.0)

    Raises:
        UnknownCard: see there.
    """
    words = re.split(r"[\s,]+", text.strip())
    name = words.pop(0).lower() if words and "=" not in words[0] else None
    given = dict(map(_figure, words))
    card = Card.named(name or "h100") if name or given else Card.named(text)
    if name is None and (missing := [key for key in NEEDED if key not in given]):
        raise UnknownCard(f'--card "{text}": {" and ".join(missing)} missing; a card needs {", ".join(NEEDED)}')
    if not given:
        return card
    source = f"given; the rest is that of {card.name}" if len(given) < len(FIGURES) else "given"
    return replace(card, **given, name=f"{name}, changed" if name else "given", source=source)


def _figure(word: str) -> tuple[str, float]:
    key, equals, value = word.partition("=")
    if key not in FIGURES or not equals:
        known = ", ".join(FIGURES)
        raise UnknownCard(f"--card {word}: this is no figure of a card{did_you_mean(key, FIGURES)}; give {known}")
    try:
        number = float(value)
    except ValueError:
        raise UnknownCard(f"--card {word}: this is no number; write {key}={LEAST[key]:g} or more") from None
    if not LEAST[key] <= number <= MOST[key]:
        ends = f"{LEAST[key]:g} to {MOST[key]:g}"
        raise UnknownCard(f"--card {word}: {key} is in {UNITS[key]}, so a number from {ends} is expected")
    return key, number


def card_here(cards: tuple[tuple[str, float], ...]) -> Card | None:
    """The card of this machine, where its name is a known one's; its memory is what the driver says.

    Args:
        cards: names and GB, see `sinternal_verl.doctor.machine.cards_here`.
    """
    if not cards:
        return None
    found, memory = min(cards, key=lambda card: card[1])
    words = re.split(r"[\s-]+", found.lower())
    if OTHER_FORMS.intersection(words):
        return None
    near = [name for name in read("cards.yaml") if name.partition("-")[0] in words]
    if not near:
        return None
    card = min(map(Card.named, near), key=lambda card: abs(card.memory - memory))
    return replace(card, memory=memory, source=f"this machine's {found}; {card.source}")
