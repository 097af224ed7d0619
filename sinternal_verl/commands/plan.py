"""`sinternal-verl plan [hydra overrides...]`: what a run will need, before it starts."""

import sys
from collections.abc import Sequence

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from sinternal_verl.attention import assuming
from sinternal_verl.commands.messages import BAD_INPUT, PREFIX, fail, not_composed
from sinternal_verl.config import RECIPE, compose_config, get, with_defaults
from sinternal_verl.doctor.fits import CannotReckon
from sinternal_verl.doctor.machine import cards_here
from sinternal_verl.doctor.problem import problems_of
from sinternal_verl.plan.cards import Card, UnknownCard, card_here, card_of
from sinternal_verl.plan.growth import BadNodes, nodes_of
from sinternal_verl.plan.plan import Plan, make_plan
from sinternal_verl.plan.render import render
from sinternal_verl.plan.sizes import CannotPlan
from sinternal_verl.plan.work import Asked

DEFAULT_CARD = "h100"


def plan(
    overrides: Sequence[str],
    card: str | None = None,
    nodes: str | None = None,
    form: str = "text",
    response_tokens: float | None = None,
    prompt_tokens: float | None = None,
    prompts: int | None = None,
    flash_attn: str | None = None,
) -> int:
    """Print the plan; return 0, or 2 where the run does not fit its cards, would not start or cannot be planned."""
    words = with_defaults(overrides)
    if words != list(overrides):
        print(f"{PREFIX}no recipe is given, so {RECIPE} is used", file=sys.stderr)
    try:
        # The recipes' values follow from it whenever they are read.
        with assuming(None if flash_attn is None else flash_attn == "yes"):
            asked = _asked(response_tokens, prompt_tokens, prompts)
            config = compose_config(words)
            chosen = _card(card, get(config, "trainer.device", "cuda"))
            made = make_plan(words, compose_config, chosen, asked, nodes_of(nodes) if nodes else ())
            text = render(made, form)
    except (UnknownCard, BadNodes, CannotPlan) as error:
        return fail(str(error))
    except CannotReckon as error:
        return fail(f"the model's size cannot be reckoned: {error}")
    except (HydraException, OmegaConfBaseException) as error:
        return fail(not_composed(error, words, compose_config))
    print(text, flush=True)
    return _verdict(made)


def _asked(response_tokens: float | None, prompt_tokens: float | None, prompts: int | None) -> Asked:
    given = {"--response-tokens": response_tokens, "--prompt-tokens": prompt_tokens, "--prompts": prompts}
    for name, value in given.items():
        if value is not None and not 1 <= value < float("inf"):
            raise CannotPlan(f"{name} {value:g}: a number from 1 on is needed")
    return Asked(response_tokens, prompt_tokens, prompts)


def _card(text: str | None, device: str) -> Card:
    if text is not None:
        return card_of(text)
    if device == "cpu":
        raise UnknownCard(
            "trainer.device = cpu: a plan needs the machine's figures. Give them: "
            '--card "flops=100e9 bandwidth=10e9 memory=24" (benchmarks/plan_against_runs.py measures them)'
        )
    here = cards_here()
    if (known := card_here(here)) is not None:
        return known
    if here:
        said = f"no figures of this machine's {here[0][0]} are known, so {DEFAULT_CARD} is planned; --card gives them"
        print(f"{PREFIX}{said}", file=sys.stderr)
    return Card.named(DEFAULT_CARD)


def _verdict(made: Plan) -> int:
    if made.refusals:
        print(f"{PREFIX}the run would not start:", file=sys.stderr)
        for found in made.refusals:
            print(f"  *  {found}", file=sys.stderr)
    if not made.misfits:
        return BAD_INPUT if made.refusals else 0
    print(f"{PREFIX}this does not fit cards of {made.setup.card.memory:.0f} GB:", file=sys.stderr)
    for found in made.misfits:
        print(f"  *  {found}", file=sys.stderr)
    change = made.change or "none of the changes that were tried"
    print(f"{PREFIX}reckoned to fit: {change}", file=sys.stderr)
    return BAD_INPUT if made.refusals or problems_of(made.misfits) else 0
