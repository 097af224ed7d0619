"""A model that vLLM runs in this process, by the real vLLM on a CPU: what becomes of a request."""

import asyncio
from dataclasses import replace

import pytest
import vllm
from packaging.version import Version
from public_templates import FAMILIES
from teaching import teach
from transformers import AutoTokenizer

from sinternal_verl.data.turn import TurnEncoder
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


HARMONY = "<|channel|>analysis<|message|>It lends the {}.<|end|><|start|>assistant<|channel|>final<|message|>No: {}."
CALL = " to=functions.bell<|channel|>commentary json<|message|>{}<|call|>"


@pytest.mark.long
@pytest.mark.skipif(
    Version(vllm.__version__) < Version("0.27"),
    reason="vLLM 0.24 loads no gpt-oss whose experts are not quantized",
)
def test_the_channels_of_gpt_oss_are_thought_and_answer(tmp_path):
    """A model of its architecture, which has learned an answer and a call by heart. vLLM ends at <|return|> and
    <|call|>, as the generation config has them."""
    folder = FAMILIES["gpt_oss"].model(tmp_path / "policy")
    said = {"Lend the lamp?": HARMONY.replace("{}", "lamp"), "Ring the bell?": CALL}
    asked = {text: [{"role": "user", "content": text}] for text in said}
    encoder = TurnEncoder(AutoTokenizer.from_pretrained(folder))
    teach(folder, [encoder.encode(asked[text], said[text]) for text in said], steps=150, batch=2, rate=1e-2, seed=1)
    # On a CPU vLLM takes the sinks of its attention in bfloat16 only. (0.24 and 0.27)
    engine = {**ENGINE, "max_model_len": 512, "dtype": "bfloat16"}
    settings = WriterSettings(
        str(folder), None, None, {"temperature": 0, "max_tokens": 60}, 4, 120.0, 0, None, None, engine
    )

    async def ask(longest: int):
        writer = LocalWriter(replace(settings, request={"temperature": 0, "max_tokens": longest}))
        try:
            return await asyncio.gather(*(writer.write(messages, seed=1) for messages in asked.values()))
        finally:
            await writer.close()

    answer, call = asyncio.run(ask(60))
    assert (answer.thought, answer.text, answer.finish) == ("It lends the lamp.", "No: lamp.", "stop")
    assert (call.thought, call.text, call.finish) == ("{}", "", "stop")
    cut, _ = asyncio.run(ask(8))
    assert cut.finish == "length" and "It lends the lamp.".startswith(cut.thought) and cut.text == ""
