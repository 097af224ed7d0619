"""A model that vLLM runs in this process, by the real vLLM on a CPU: what becomes of a request."""

import asyncio
from dataclasses import replace

import pytest

from sinternal_verl.hashing import key_of
from sinternal_verl.verify.endpoint_writer import open_writer
from sinternal_verl.verify.fill import Request, fill
from sinternal_verl.verify.local_writer import LocalWriter
from sinternal_verl.verify.store import Store
from sinternal_verl.verify.writer import WriterSettings, WriterUnusable
from sinternal_verl.world import lighthouse
from sinternal_verl.world.policy_model import make_policy

pytestmark = [pytest.mark.slow, pytest.mark.versions, pytest.mark.timeout(600)]

ENGINE = {"max_model_len": 64, "gpu_memory_utilization": 0.1, "dtype": "float32", "enforce_eager": True}


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> WriterSettings:
    folder = tmp_path_factory.mktemp("policy")
    make_policy(folder, lighthouse.corpus(), seed=1, architecture="qwen3")
    request = {"temperature": 1.0, "max_tokens": 8}
    return WriterSettings(str(folder), None, None, request, 8, 120.0, 0, None, None, ENGINE)


def test_a_prompt_that_is_too_long_is_stored_with_its_reason_and_the_others_are_answered(settings, tmp_path):
    texts = [request.prompt for request in lighthouse.requests()[:5]] + ["the lamp " * 200]
    wanted = [Request(key_of(text), [{"role": "user", "content": text}], seed=1) for text in texts]
    with Store(tmp_path / "store.sqlite") as store:
        filled = fill(wanted, len(wanted), store, settings.limits, lambda: open_writer(settings), "answers")
        replies = [store.get(request.key) for request in wanted]

    assert filled.complete and filled.unanswered == {"too_long": 1}
    assert {reply.finish for reply in replies[:5]} <= {"stop", "length"} and all(reply.written for reply in replies[:5])
    assert replies[5].finish == "too_long" and "engine.max_model_len=64" in replies[5].text


def test_an_answer_that_is_late_counts_in_the_budget_as_its_whole_context(settings, tmp_path):
    hasty = replace(settings, timeout_s=1e-4, budget_tokens=10_000)
    wanted = [Request(key_of(n), [{"role": "user", "content": f"May I? {n}"}], seed=1) for n in range(3)]
    with Store(tmp_path / "store.sqlite") as store:
        filled = fill(wanted, len(wanted), store, hasty.limits, lambda: open_writer(hasty), "answers")

    assert filled.failures == {"timeout": 3} and (filled.lost, filled.presumed) == (3, 3 * ENGINE["max_model_len"])


def test_what_vllm_rejects_is_an_answer(settings):
    """Token 99999999 is not in the vocabulary: vLLM looks when the request comes, not when the parameters are read."""

    async def ask():
        writer = LocalWriter(settings)
        try:
            writer._params.allowed_token_ids = [99_999_999]
            return await writer.write([{"role": "user", "content": "May I?"}], seed=1)
        finally:
            await writer.close()

    reply = asyncio.run(ask())
    assert reply.finish == "rejected" and "allowed_token_ids" in reply.text


def test_a_parameter_that_vllm_does_not_know_ends_at_once(settings):
    with pytest.raises(WriterUnusable, match=r"request=.*frequency"):
        LocalWriter(replace(settings, request={"frequency": 1}))
