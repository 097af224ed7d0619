"""Passes of training: what is computed, gathered and moved, and which of them a pass waits for."""

import numpy as np
import pytest
from transformers import AutoConfig

from sinternal_verl.doctor.memory import WITH_FLASH, Training, size_of
from sinternal_verl.plan.cards import card_of
from sinternal_verl.plan.factors import Factors, read
from sinternal_verl.plan.training import Batch, Trainer, shares

CONFIG = AutoConfig.for_model(**read("models.yaml")["deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"])
SIZE = size_of(CONFIG)
BATCH = Batch(np.full(64, 2000.0))


def trainer(cards=4, nodes=1, offload=False, size=SIZE, **changes) -> Trainer:
    training = Training(
        shards=cards,
        per_node=cards // nodes,
        tokens=20480,
        weight=4,
        offload=offload,
        offload_weights=False,
        offload_moments=False,
        checkpointing=True,
        logits=WITH_FLASH,
    )
    given = {"card": card_of("h100"), "factors": Factors.at("typical")} | changes
    return Trainer(size, training, cards=cards, **given)


def test_a_token_is_multiplied_by_all_weights_but_the_looked_up_embedding():
    assert SIZE.multiplied == SIZE.total - CONFIG.vocab_size * CONFIG.hidden_size
    tied = size_of(AutoConfig.for_model(**read("models.yaml")["Qwen/Qwen3Guard-Gen-4B"]))
    assert tied.multiplied == tied.total


def test_forward_flops_are_those_of_weights_and_of_half_a_square_of_attention():
    each = 2 * SIZE.multiplied * 2000 + 2 * 2000**2 * CONFIG.num_hidden_layers * CONFIG.hidden_size

    assert trainer().forward_flops(BATCH) == pytest.approx(64 * each)


def test_an_update_is_four_forwards_with_recomputation_and_three_of_an_adapter():
    forward = (
        trainer(factors=Factors.at("typical").but(forward_flops=Factors.at("typical")["update_flops"]))
        .forward(BATCH)
        .compute
    )
    adapter = trainer(size=size_of(CONFIG, lora_rank=16, targets="all-linear"))

    assert trainer().update(BATCH).compute == pytest.approx(4 * forward)
    assert adapter.update(BATCH).compute == pytest.approx(3 * forward)


def test_few_rows_leave_cards_idle():
    long = Batch(np.array([8000.0, *[500.0] * 15]))

    assert trainer(cards=16).forward(long).compute == pytest.approx(trainer(cards=8).forward(long).compute)


def test_sdpa_multiplies_every_pair_of_a_micro_batch():
    ratio = trainer(dense=True).forward(BATCH).compute / trainer().forward(BATCH).compute

    assert ratio > 1 + 2 * SIZE.queries * 2000 / (2 * SIZE.multiplied)


def test_a_slow_network_is_waited_for():
    slow = card_of("h100 network=1e9")

    assert trainer(cards=8, nodes=2).update(BATCH).bound == "computing"
    assert trainer(cards=8, nodes=2, card=slow).update(BATCH).bound == "gathering weights"
    assert trainer(cards=8, card=slow).update(BATCH).bound == "computing", "one node needs no network"


def test_offloaded_weights_move_for_each_micro_batch_and_adam_runs_on_the_host():
    few, many = Batch(np.full(4, 2000.0)), Batch(np.full(64, 2000.0))
    alone = trainer(cards=1, offload=True)

    assert alone.update(many).offload == pytest.approx(7 * alone.update(few).offload)
    assert alone.forward(few).bound == "moving weights over PCIe"
    assert alone.forward(few).seconds == pytest.approx(alone.forward(few).compute + alone.forward(few).offload)
    assert alone.update(few).optimizer > 10 * trainer(cards=1).update(few).optimizer


def test_every_update_has_a_step_of_the_optimizer():
    one, many = trainer().update(BATCH), trainer().update(BATCH, updates=8)

    assert many.optimizer == pytest.approx(8 * one.optimizer)
    assert many.compute >= one.compute


@pytest.mark.parametrize(("cards", "updates"), [(1, 1), (4, 1), (4, 3), (100, 2)])
def test_shares_hand_out_all_work(cards, updates):
    work = np.arange(1.0, 41)

    found = shares(work, cards, updates)

    assert found.shape == (updates, cards) and found.sum() == pytest.approx(work.sum())
    assert found.sum(axis=0).max() >= work.sum() / cards


def test_each_epoch_over_a_steps_rows_computes_them_again():
    one, two = trainer().update(BATCH, updates=2), trainer().update(BATCH, updates=2, epochs=2)

    assert two.compute == pytest.approx(2 * one.compute)
    assert two.optimizer == pytest.approx(2 * one.optimizer)
    assert two.gather == pytest.approx(2 * one.gather)
