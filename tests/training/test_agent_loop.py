"""A seed for each request."""

from sinternal_verl.training.agent_loop import request_seed


def test_every_part_makes_another_seed_and_the_same_parts_the_same():
    seeds = {
        request_seed(run, index, step, session)
        for run in range(2)
        for index in range(10)
        for step in range(10)
        for session in range(8)
    }

    assert len(seeds) == 2 * 10 * 10 * 8
    assert request_seed(1, 2, 3, 4) == request_seed(1, 2, 3, 4)


def test_parts_cannot_run_into_each_other():
    assert request_seed(1, "1", 11, 1) != request_seed(1, "11", 1, 1)


def test_vllm_takes_the_seed():
    from vllm import SamplingParams

    assert SamplingParams(seed=request_seed(1, "uuid-like", 3, 0)).seed < 2**31
