"""Reads exported folders as others do, in a process of its own: `python export_readers.py READER FOLDER...`.

It prints a line for each folder: of each conversation the prompt's ids and those that are answered greedily. This
package is not imported, so an environment without it can run the script.

READER: ``transformers``, ``vllm`` in this process, ``serve`` (vLLM's server, over HTTP), or of adapters (then FOLDER is
base:adapter) ``peft``, ``vllm_lora`` and ``serve_lora``.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

QUESTIONS = ("What is 3 + 4?", "1 + 1", "Is it safe? Yes, 12.", "<lamp>1<bell>")
CONVERSATIONS = [[{"role": "user", "content": text}] for text in QUESTIONS]
TOKENS = 24
START_S, BOUND_S = 300, 60
"""Seconds in which a server is up, and in which it answers."""

Answers = list[tuple[list[int], list[int]]]


def by_model(model, tokenizer) -> Answers:
    """Of a model in memory."""
    import torch

    answers = []
    for conversation in CONVERSATIONS:
        text = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
        ids = tokenizer.encode(text, add_special_tokens=False)
        with torch.no_grad():
            made = model.generate(torch.tensor([ids]), max_new_tokens=TOKENS, do_sample=False)
        answers.append((ids, made[0, len(ids) :].tolist()))
    return answers


def by_transformers(folder: str) -> Answers:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    return by_model(model, AutoTokenizer.from_pretrained(folder))


def by_peft(folders: str) -> Answers:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base, adapter = folders.split(":")
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype="float32"), adapter)
    return by_model(model, AutoTokenizer.from_pretrained(adapter))


def by_vllm(folder: str, adapter: str | None = None) -> Answers:
    # The CPU build counts its memory by the GB, and its processes are forked after torch was used.
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    settings = {"enable_lora": True, "max_lora_rank": 8} if adapter else {}
    engine = LLM(folder, dtype="float32", enforce_eager=True, max_model_len=128, max_num_seqs=4, **settings)
    request = LoRARequest("trained", 1, adapter) if adapter else None
    asked = SamplingParams(temperature=0, max_tokens=TOKENS)
    done = engine.chat(CONVERSATIONS, asked, lora_request=request, use_tqdm=False)
    return [(list(each.prompt_token_ids), list(each.outputs[0].token_ids)) for each in done]


def by_vllm_lora(folders: str) -> Answers:
    return by_vllm(*folders.split(":"))


def by_serve(folder: str, adapter: str | None = None) -> Answers:
    """As a user serves it: `vllm serve FOLDER`, and its chat endpoint."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What `vllm serve` runs. The command itself asks for a distribution called vllm, and the CPU's is called vllm-cpu.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", folder, "--port", str(port)]
    command += ["--host", "127.0.0.1", "--dtype", "float32", "--enforce-eager", "--max-model-len", "128"]
    command += ["--enable-lora", "--max-lora-rank", "8", "--lora-modules", f"trained={adapter}"] if adapter else []
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(command, env={"VLLM_CPU_KVCACHE_SPACE": "1"} | os.environ)
    try:
        wait_until_up(url + "/health", server)
        asked = {"model": "trained" if adapter else folder, "temperature": 0, "max_tokens": TOKENS}
        asked |= {"return_token_ids": True}
        answers = []
        for conversation in CONVERSATIONS:
            body = json.dumps(asked | {"messages": conversation}).encode()
            request = urllib.request.Request(
                url + "/v1/chat/completions", body, headers={"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=BOUND_S) as response:
                reply = json.load(response)
            answers.append((reply["prompt_token_ids"], reply["choices"][0]["token_ids"]))
        return answers
    finally:
        server.terminate()
        server.wait(BOUND_S)


def wait_until_up(url: str, server: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(url, timeout=5)
            return
        except (urllib.error.URLError, OSError):
            if server.poll() is not None or time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def by_serve_lora(folders: str) -> Answers:
    return by_serve(*folders.split(":"))


READERS = {
    "transformers": by_transformers,
    "peft": by_peft,
    "vllm": by_vllm,
    "vllm_lora": by_vllm_lora,
    "serve": by_serve,
    "serve_lora": by_serve_lora,
}

if __name__ == "__main__":
    reader, *folders = sys.argv[1:]
    for folder in folders:
        print("ANSWERS", json.dumps(READERS[reader](folder)), flush=True)
