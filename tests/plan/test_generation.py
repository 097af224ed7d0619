"""Decoding, simulated: what is shared, what waits, and what the longest response costs."""

import numpy as np
import pytest
from transformers import AutoConfig

from sinternal_verl.doctor.memory import engine_line, size_of
from sinternal_verl.plan.cards import card_of
from sinternal_verl.plan.factors import Factors, read
from sinternal_verl.plan.generation import Engine, generate, lengths_of

SIZE = size_of(AutoConfig.for_model(**read("models.yaml")["deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"]))
CARD = card_of("h100")


def engine(**changes) -> Engine:
    return Engine(**({"size": SIZE, "card": CARD, "factors": Factors.at("typical")} | changes))


def test_a_step_of_one_response_reads_the_weights_once():
    bare = engine(factors=Factors.at("typical").but(decode_step_s=0, decode_response_s=0, decode_bandwidth=1.0))

    assert bare.step_s(1, 0) == pytest.approx(2 * SIZE.multiplied / CARD.bandwidth)
    assert bare.step_s(8, 0) == bare.step_s(1, 0), "responses share the reading"


def test_a_step_of_many_responses_takes_as_long_as_its_products():
    bare = engine(factors=Factors.at("typical").but(decode_step_s=0, decode_response_s=0, decode_flops=1.0))

    assert bare.step_s(4096, 0) == pytest.approx(2 * SIZE.multiplied * 4096 / CARD.flops)


def test_tokens_in_the_cache_are_read_at_every_step():
    read_more = engine().step_s(64, 200_000) - engine().step_s(64, 100_000)

    assert read_more == pytest.approx(2 * SIZE.key_values * 1e5 / (CARD.bandwidth * 0.7))


def test_two_cards_read_twice_as_fast_and_agree_after_each_block():
    one, two = engine(), engine(cards=2)

    assert one.step_s(1, 0) / 2 < two.step_s(1, 0) < one.step_s(1, 0)


def test_cards_beyond_the_heads_of_the_cache_hold_copies_of_them():
    """A 7B of Qwen2 has four."""
    read = [engine(cards=cards).step_s(1, 1e6) - engine(cards=cards).step_s(1, 0) for cards in (2, 4, 8)]

    assert read[0] / 2 == pytest.approx(read[1]) == read[2]
    assert engine_line("", SIZE, 80, 8).tokens < engine_line("", SIZE, 80, 4).tokens * 1.3


def test_linear_attention_has_no_cache_that_grows():
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
    sizes |= {"head_dim": 16, "num_hidden_layers": 4, "vocab_size": 128, "num_experts": 0}
    mixed = size_of(AutoConfig.for_model("qwen3_next", **sizes))

    assert mixed.blocks == 4 and mixed.key_values == 2 * 1 * 2 * 16


def test_one_response_takes_its_tokens_times_a_step():
    lengths = np.array([1000.0])

    done = generate(lengths, 100, engine(), engines=1)

    assert done.seconds == pytest.approx(1000 * engine().step_s(1, 600) + engine().prefill_s(100, 100), rel=1e-3)
    assert done.alone == pytest.approx(done.seconds, rel=0.01)


def test_more_engines_help_until_the_longest_response_is_alone():
    lengths = lengths_of(2000, 0.7, 8192, 96)
    seconds = [generate(lengths, 150, engine(), engines).seconds for engines in (1, 8, 32, 96)]

    assert seconds == sorted(seconds, reverse=True)
    assert seconds[-1] == pytest.approx(generate(lengths, 150, engine(), 96).alone, rel=0.02)


def test_responses_wait_where_the_cache_or_the_number_is_full():
    lengths = np.full(64, 1000.0)
    free = generate(lengths, 100, engine(), 1)
    few = generate(lengths, 100, engine(most=16), 1)
    small = generate(lengths, 100, engine(room=16 * 1100), 1)

    assert free.preempted == few.preempted == 0
    assert few.seconds > 2 * free.seconds
    assert small.seconds > 2 * free.seconds and small.preempted > 0


def test_a_cache_that_holds_no_whole_response_still_ends():
    assert generate(np.full(4, 500.0), 100, engine(room=200), 1).seconds > 0


@pytest.mark.parametrize("mean", [1, 80, 3500, 8192, 1e6])
def test_lengths_have_the_mean_that_is_asked_for_and_stay_below_the_limit(mean):
    lengths = lengths_of(mean, 0.7, 8192, 256)

    assert len(lengths) == 256 and lengths.min() >= 1 and lengths.max() <= 8192
    assert lengths.mean() == pytest.approx(min(mean, 8192), rel=0.3 if mean < 10 else 1e-3)
    assert list(lengths) == list(lengths_of(mean, 0.7, 8192, 256))
