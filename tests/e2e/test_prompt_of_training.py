"""What a model is asked in stage 1 is what it was trained on, token by token: by the real vLLM in this process, and by
vLLM's own server, with the real chat template of Qwen3 and its thinking on and off."""

import asyncio
import json
import socket
import sys
import urllib.request
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from processes import descendants, end_all, start, wait_for
from public_templates import FAMILIES

from sinternal_verl.data.sft import PromptCompletionDataset
from sinternal_verl.verify.endpoint_writer import open_writer
from sinternal_verl.verify.local_writer import LocalWriter
from sinternal_verl.verify.settings import build_settings, compose_build
from sinternal_verl.verify.writer import WriterSettings
from sinternal_verl.world.policy_model import ROPE_THETA, write_model

pytestmark = [pytest.mark.slow, pytest.mark.versions, pytest.mark.timeout(600)]

START_S, ANSWER_S = 300, 60
MESSAGES = [{"role": "user", "content": "May I lend the lamp? It is for the tide."}]
VALUES = ({}, {"enable_thinking": False}, {"enable_thinking": True})


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("qwen3")
    tokenizer = FAMILIES["qwen3_thinking"].tokenizer(folder)
    return write_model(folder, tokenizer, 1, 128, 2, 4, groups=2, longest=512, theta=ROPE_THETA, architecture="qwen3")


def trained_on(model: Path, folder: Path, values: dict) -> list[int]:
    """The ids before the completion, in verl's SFT with our dataset."""
    from transformers import AutoTokenizer

    file = folder / "rows.parquet"
    thought = "<think>\nNo.\n</think>\n\n" if values.get("enable_thinking", True) else ""
    pq.write_table(pa.Table.from_pylist([{"prompt": MESSAGES, "completion": f"{thought}No."}]), file)
    config = OmegaConf.create({"max_length": 256, "truncation": "error", "apply_chat_template_kwargs": values})
    item = PromptCompletionDataset(str(file), AutoTokenizer.from_pretrained(model), config)[0]
    return item["input_ids"][~item["loss_mask"].bool()].tolist()


def asked(model: Path, values: dict, *words: str) -> WriterSettings:
    """The settings of the policy in a build, whose words are those of the training but for the first."""
    given = [f"+policy.apply_chat_template_kwargs.{key}={str(value).lower()}" for key, value in values.items()]
    given += [f"policy.model={model}", "policy.thought=none", "policy.request.max_tokens=4", "prompts=p", "out=o"]
    engine = [f"policy.engine.{word}" for word in ("max_model_len=256", "dtype=float32", "gpu_memory_utilization=0.1")]
    return build_settings(compose_build([*given, *engine, "policy.engine.enforce_eager=true", *words])).writer


def test_a_model_in_this_process_is_asked_what_it_was_trained_on(model, tmp_path):
    expected = [trained_on(model, tmp_path, values) for values in VALUES]
    found, read = [], []

    async def ask(values: dict) -> None:
        writer = LocalWriter(asked(model, values))
        generate = writer._engine.generate
        writer._engine.generate = lambda prompt, *rest: (
            found.append(prompt["prompt_token_ids"]) or generate(prompt, *rest)
        )
        try:
            read.append((await writer.write(MESSAGES, seed=1)).read)
        finally:
            await writer.close()

    for values in VALUES[:2]:
        asyncio.run(ask(values))

    assert found == expected[:2] and expected[0] != expected[1] and expected[0] == expected[2]
    assert read == [len(ids) for ids in found]


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    """vLLM's own server of the model, at its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("server")
    words = ["--model", str(model), "--port", str(port), "--host", "127.0.0.1", "--served-model-name", "policy"]
    words += ["--max-model-len", "256", "--dtype", "float32", "--gpu-memory-utilization", "0.1", "--enforce-eager"]
    log, url = folder / "log", f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *words]
    process = start(command, log, folder, VLLM_CPU_KVCACHE_SPACE="1", TORCHDYNAMO_DISABLE="1")

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5) as response:
                return response.status == 200
        except OSError:
            return False

    try:
        wait_for(answers, process, log, START_S)
        yield f"{url}/v1"
    finally:
        end_all([*descendants(process), process] if process.poll() is None else [])


def ids_at(url: str, settings: WriterSettings) -> list[int]:
    """The ids that the server makes of a request as our client sends it."""
    body = {"model": settings.model, "messages": MESSAGES, **settings.parameters, "seed": 1, "return_token_ids": True}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=ANSWER_S) as response:
        return json.load(response)["prompt_token_ids"]


def test_a_model_behind_vllms_server_is_asked_what_it_was_trained_on(model, server, tmp_path):
    async def ask(settings: WriterSettings) -> int:
        writer = open_writer(settings)
        try:
            return (await writer.write(MESSAGES, seed=1)).read
        finally:
            await writer.close()

    for values in VALUES:
        expected = trained_on(model, tmp_path, values)
        settings = asked(model, values, "policy.model=policy", f"policy.url={server}")

        assert ids_at(server, settings) == expected
        assert asyncio.run(ask(settings)) == len(expected)
