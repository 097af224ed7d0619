"""A card by name or by its figures; what is wrong is named with what can be given."""

import pytest

from sinternal_verl.plan.cards import FIGURES, LEAST, MOST, Card, UnknownCard, card_here, card_of
from sinternal_verl.plan.factors import read

KNOWN = read("cards.yaml")


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_card_has_every_figure_and_says_where_they_are_from(name):
    card = card_of(name.upper())

    assert card.name == name and card.source
    assert all(LEAST[figure] <= getattr(card, figure) <= MOST[figure] for figure in FIGURES)
    assert card.flops > card.bandwidth > card.link >= card.network


def test_figures_describe_a_card_and_the_rest_is_taken_from_another():
    card = card_of("flops=1e15 bandwidth=2e12 memory=48")

    assert (card.flops, card.bandwidth, card.memory) == (1e15, 2e12, 48.0)
    assert card.link == Card.named("h100").link and "h100" in card.source


def test_a_name_before_figures_is_changed_by_them():
    card = card_of("h100, memory=94")

    assert card.memory == 94.0 and card.flops == Card.named("h100").flops


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("h10", "did you mean h100"),
        ("tpu", "a100, a100-40"),
        ("", "known are"),
        ("flops=1e15", "bandwidth and memory missing"),
        ("flops=989 bandwidth=3e12 memory=80", "FLOP/s"),
        ("h100 memory=80e9e", "no number"),
        ("h100 memory=inf", "GB"),
        ("h100 memory=nan", "GB"),
        ("h100 memory=-80", "GB"),
        ("h100 memory=80e9", "GB"),
        ("h100 bandwidth=1e300", "bytes/s"),
        ("h100 vram=80", "flops, bandwidth, memory"),
        ("h100 memory", "no figure"),
    ],
)
def test_what_is_no_card_says_what_is(text, says):
    with pytest.raises(UnknownCard, match=r"(?s).*" + says):
        card_of(text)


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (("NVIDIA H100 80GB HBM3", 85.5), "h100"),
        (("NVIDIA A100-SXM4-40GB", 42.9), "a100-40"),
        (("NVIDIA A100-SXM4-80GB", 85.9), "a100-80"),
        (("NVIDIA H200", 150.8), "h200"),
    ],
)
def test_this_machines_card_is_known_by_the_drivers_name_and_keeps_its_memory(found, name):
    card = card_here((found,))

    assert card.name == name and card.memory == found[1] and found[0] in card.source


@pytest.mark.parametrize(
    "cards",
    [
        (),
        (("NVIDIA GeForce RTX 4090", 24.0),),
        (("NVIDIA H100 PCIe", 85.5),),
        (("NVIDIA H100 NVL", 100.6),),
        (("NVIDIA A100-PCIE-40GB", 42.9),),
    ],
)
def test_another_card_is_not_taken_for_a_known_one(cards):
    assert card_here(cards) is None
