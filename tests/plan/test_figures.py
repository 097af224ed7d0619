"""Ranges and assumptions: each has both ends and a source, and none is without use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinternal_verl.config import compose_config
from sinternal_verl.plan import generation
from sinternal_verl.plan.cards import card_of
from sinternal_verl.plan.factors import ENDS, Factors, described
from sinternal_verl.plan.figures import Line, figures_of, rounded
from sinternal_verl.plan.grpo_lines import grpo_lines
from sinternal_verl.plan.setup import set_up
from sinternal_verl.plan.sft import sft_lines


@pytest.fixture(autouse=True, scope="module")
def coarse():
    """A simulation of few steps: the same code in a quarter of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "CHUNKS", 48)
        yield


@pytest.mark.parametrize("name", described())
def test_a_factor_has_a_range_a_unit_and_a_source(name):
    entry = described()[name]
    slow, typical, fast = (float(entry[end]) for end in ("slow", "typical", "fast"))

    assert min(slow, fast) < typical < max(slow, fast)
    assert entry["what"] and entry["source"] and isinstance(entry["unit"], str)


def lines_of(*words):
    setup = set_up(compose_config(list(words)), card_of("h100"))
    return lambda factors: (grpo_lines if "grpo" in words[0] else sft_lines)(setup, factors)


@pytest.fixture(scope="module")
def plans():
    model = "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"
    grpo = ["+recipe=sinternal_grpo", f"actor_rollout_ref.model.path={model}"]
    dumps = "trainer.rollout_data_dir=/abs/rollouts"
    return {
        "8gpu": lines_of(*grpo, dumps, "actor_rollout_ref.rollout.tensor_model_parallel_size=2"),
        "1gpu": lines_of(*grpo, "hardware=1gpu_7b", "guard=none"),
        "nodes": lines_of(*grpo, "trainer.nnodes=2"),
        "sft": lines_of("+recipe=sinternal_sft", f"model.path={model}"),
    }


def test_every_factor_is_read_by_some_plan(plans):
    read: set[str] = set()
    for lines_at in plans.values():
        lines_at(Factors.at("typical", read))

    # Of a file's lengths in characters: dumps need it, too.
    assert read == set(described())


def test_every_figure_lies_in_its_range_and_names_what_moves_it(plans):
    for lines_at in plans.values():
        for figure in figures_of(lines_at):
            assert figure.low <= figure.value * 1.0001 and figure.value <= figure.high * 1.0001, figure
            assert set(figure.assumes) <= set(described())
            assert bool(figure.assumes) == (figure.high > 1.02 * figure.low), figure
            assert figure.formula


def test_a_slow_end_is_slow(plans):
    """The end of a speed or a time that is called slow makes no step shorter."""
    for lines_at in plans.values():
        step = lambda factors, at=lines_at: next(line.value for line in at(factors) if line.name == "step")  # noqa: E731
        typical = Factors.at("typical")
        for name in described():
            slow, fast = (step(typical.at_end(name, end)) for end in ENDS)
            assert slow >= 0.999 * fast, name


def test_moves_of_two_factors_add_up_in_squares():
    def lines(factors):
        return [Line("", "product", factors["disk"] * factors["step_s"], "")]

    (figure,) = figures_of(lines)
    ends = {name: described()[name] for name in ("disk", "step_s")}
    widest = max(float(entry["slow"]) / entry["typical"] for entry in ends.values())

    assert set(figure.assumes) == {"disk", "step_s"}
    assert figure.high >= figure.value * widest


@given(st.floats(1e-6, 1e15))
def test_two_digits_are_kept(value):
    words = {"million": 1e6, "billion": 1e9, "trillion": 1e12}
    number, _, word = rounded(value).replace(",", "").partition(" ")

    assert float(number) * words.get(word, 1) == pytest.approx(value, rel=0.051)
