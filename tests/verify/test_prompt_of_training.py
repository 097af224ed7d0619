"""What a model in this process is asked is what it was trained on: the same template with the same values. (With the
real vLLM, and with its server: tests/e2e/test_prompt_of_training.py.)"""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from public_templates import FAMILIES

from sinternal_verl.data.sft import PromptCompletionDataset
from sinternal_verl.tokens import TextEncoder
from sinternal_verl.verify.settings import build_settings, compose_build

MESSAGES = [{"role": "user", "content": "May I lend the lamp? <think> It is for the tide."}]


@pytest.mark.parametrize(
    ("values", "opening"),
    [
        ({}, "<|im_start|>assistant\n"),
        ({"enable_thinking": True}, "<|im_start|>assistant\n"),
        ({"enable_thinking": False}, "<|im_start|>assistant\n<think>\n\n</think>\n\n"),
    ],
)
def test_qwen3_is_asked_what_it_was_trained_on(tmp_path, values, opening):
    tokenizer = FAMILIES["qwen3_thinking"].tokenizer(tmp_path)
    thought = "<think>\nNo.\n</think>\n\n" if values.get("enable_thinking", True) else ""
    pq.write_table(pa.Table.from_pylist([{"prompt": MESSAGES, "completion": f"{thought}No."}]), tmp_path / "rows")
    config = OmegaConf.create({"max_length": 256, "truncation": "error", "apply_chat_template_kwargs": values})
    item = PromptCompletionDataset(str(tmp_path / "rows"), tokenizer, config)[0]
    given = [f"+policy.apply_chat_template_kwargs.{key}={str(value).lower()}" for key, value in values.items()]
    settings = build_settings(compose_build(["policy.model=p", "prompts=p", "out=o", *given]))

    for who in (settings.writer, settings.verifier):
        ids = TextEncoder(tokenizer, **who.template_values).encode_prompt(MESSAGES)
        assert ids == item["input_ids"][~item["loss_mask"].bool()].tolist()
        assert tokenizer.decode(ids).endswith(opening)
