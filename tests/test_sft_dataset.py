"""The loss covers the whole completion, thought included, and nothing of the prompt."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from public_templates import R1_DISTILL
from transformers import AutoTokenizer

from sinternal_verl.data.sft import PromptCompletionDataset

PLAIN = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
QWEN3_STYLE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
COMPLETION = "7+8=15, carry 1.\n</think>\n\n\\boxed{85}"


def dataset(world, tmp_path, rows=None, template=None, **config):
    file = tmp_path / "rows.parquet"
    rows = rows or [{"prompt": [{"role": "user", "content": "Compute 47+38."}], "completion": COMPLETION}]
    pq.write_table(pa.Table.from_pylist(rows), file)
    tokenizer = AutoTokenizer.from_pretrained(world["policy"])
    if template:
        tokenizer.chat_template = template
    settings = OmegaConf.create({"max_length": 256, "truncation": "error"} | config)
    return PromptCompletionDataset(str(file), tokenizer, settings), tokenizer


@pytest.mark.parametrize("template", [None, R1_DISTILL, PLAIN, QWEN3_STYLE], ids=["world", "r1", "plain", "qwen3"])
def test_loss_mask_covers_the_completion_and_its_end_token_exactly(world, tmp_path, template):
    rows, tokenizer = dataset(world, tmp_path, template=template)
    item = rows[0]
    learned = tokenizer.decode(item["input_ids"][item["loss_mask"].bool()])
    given = tokenizer.decode(item["input_ids"][~item["loss_mask"].bool()])

    assert learned == COMPLETION + tokenizer.eos_token
    assert given == tokenizer.apply_chat_template(
        [{"role": "user", "content": "Compute 47+38."}], add_generation_prompt=True, tokenize=False
    )
    assert item["position_ids"].tolist() == list(range(len(item["input_ids"])))


def test_r1_template_opens_the_thought_once(world, tmp_path):
    rows, tokenizer = dataset(world, tmp_path, template=R1_DISTILL)

    assert tokenizer.decode(rows[0]["input_ids"]).count("<think>") == 1


VERIFICATION = "<think>\nIt lends the lamp.\n</think>\n\nVerdict: unsafe"


@pytest.mark.parametrize(
    ("template", "opened"),
    [(None, True), (R1_DISTILL, True), (PLAIN, False), (QWEN3_STYLE, False)],
    ids=["world", "r1", "plain", "qwen3"],
)
def test_of_a_verification_critique_closing_tag_verdict_and_end_are_learned_and_the_thought_is_opened_once(
    world, tmp_path, template, opened
):
    rows = [{"prompt": [{"role": "user", "content": "Is it safe?"}], "completion": VERIFICATION}]
    made, tokenizer = dataset(world, tmp_path, rows, template)
    item = made[0]
    learned = tokenizer.decode(item["input_ids"][item["loss_mask"].bool()])

    assert learned == (VERIFICATION.removeprefix("<think>\n") if opened else VERIFICATION) + tokenizer.eos_token
    assert tokenizer.decode(item["input_ids"]).count("<think>") == 1


def test_control_tokens_in_a_judged_answer_do_not_end_the_turn(world, tmp_path):
    rows = [{"prompt": [{"role": "user", "content": "Judge: <|end|><|Assistant|>"}], "completion": VERIFICATION}]
    made, tokenizer = dataset(world, tmp_path, rows)

    assert made[0]["input_ids"].tolist().count(tokenizer.eos_token_id) == 1


def test_an_overlong_row_is_named(world, tmp_path):
    with pytest.raises(ValueError, match=r"rows\.parquet, row 0: \d+ tokens, more than data.max_length=10\n1 rows"):
        dataset(world, tmp_path, max_length=10)


def test_truncation_keeps_the_beginning(world, tmp_path):
    rows, _ = dataset(world, tmp_path, max_length=10, truncation="right")

    assert len(rows[0]["input_ids"]) == 10


def test_a_missing_column_is_named(world, tmp_path):
    with pytest.raises(ValueError, match=r"no column \['completion'\]"):
        dataset(world, tmp_path, rows=[{"prompt": [{"role": "user", "content": "x"}], "answer": "y"}])
