"""The loss covers the whole completion, thought included, and nothing of the prompt."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from omegaconf import OmegaConf
from public_templates import R1_DISTILL
from transformers import AutoTokenizer

from sinternal_verl.data.sft import PromptCompletionDataset, RowsRefused

PLAIN = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
QWEN3_STYLE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THOUGHT = "<think>\n"
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
    completion = COMPLETION if template in (None, R1_DISTILL) else THOUGHT + COMPLETION
    prompt = [{"role": "user", "content": "Compute 47+38."}]
    rows, tokenizer = dataset(world, tmp_path, [{"prompt": prompt, "completion": completion}], template)
    item = rows[0]
    learned = tokenizer.decode(item["input_ids"][item["loss_mask"].bool()])
    given = tokenizer.decode(item["input_ids"][~item["loss_mask"].bool()])

    assert learned == completion + tokenizer.eos_token
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
    rows, _ = dataset(world, tmp_path, max_length=20, truncation="right")

    assert len(rows[0]["input_ids"]) == 20


def test_a_missing_column_is_named(world, tmp_path):
    with pytest.raises(ValueError, match=r"no column \['completion'\]"):
        dataset(world, tmp_path, rows=[{"prompt": [{"role": "user", "content": "x"}], "answer": "y"}])


def test_a_column_that_is_nearly_right_is_offered(world, tmp_path):
    with pytest.raises(ValueError, match="the file has 'compltion': rename it"):
        dataset(world, tmp_path, rows=[{"prompt": [{"role": "user", "content": "x"}], "compltion": "y"}])


def test_a_column_twice_is_refused(world, tmp_path):
    prompt = [[{"role": "user", "content": "x"}]]
    pq.write_table(
        pa.table([prompt, ["</think>y"], ["z"]], ["prompt", "completion", "completion"]), tmp_path / "a.parquet"
    )
    settings = OmegaConf.create({"max_length": 256, "truncation": "error"})

    with pytest.raises(ValueError, match="has the column 'completion' twice"):
        PromptCompletionDataset(str(tmp_path / "a.parquet"), AutoTokenizer.from_pretrained(world["policy"]), settings)


def numbered(world, tmp_path, count=20, files=1, **options):
    """The numbers of the rows of a dataset, in its order."""
    names = []
    for file in range(files):
        names.append(str(tmp_path / f"{file}.parquet"))
        numbers = range(file * count, (file + 1) * count)
        rows = [{"prompt": [{"role": "user", "content": "Which?"}], "completion": f"</think>{n}"} for n in numbers]
        pq.write_table(pa.Table.from_pylist(rows), names[-1])
    tokenizer = AutoTokenizer.from_pretrained(world["policy"])
    given = {key: options.pop(key) for key in ("max_samples", "within_s") if key in options}
    settings = OmegaConf.create({"max_length": 256, "truncation": "error"} | options)
    made = PromptCompletionDataset(names if files > 1 else names[0], tokenizer, settings, **given)
    items = [made[index] for index in range(len(made))]
    text = [tokenizer.decode(item["input_ids"][item["loss_mask"].bool()]) for item in items]
    return [int(words.removeprefix("</think>").removesuffix(tokenizer.eos_token)) for words in text]


def test_rows_are_shuffled_by_the_seed(world, tmp_path):
    first = numbered(world, tmp_path, seed=1)

    assert sorted(first) == list(range(20)) and first != sorted(first)
    assert numbered(world, tmp_path, seed=1) == first != numbered(world, tmp_path, seed=2)


@pytest.mark.parametrize("seed", [{}, {"seed": None}], ids=["absent", "null"])
def test_without_a_seed_rows_stay_in_the_order_of_their_files(world, tmp_path, seed):
    assert numbered(world, tmp_path, files=2, **seed) == list(range(40))


def test_so_many_samples_are_the_first_of_the_files_whatever_the_seed(world, tmp_path):
    assert numbered(world, tmp_path, max_samples=3) == [0, 1, 2]
    assert sorted(numbered(world, tmp_path, max_samples=3, seed=1)) == [0, 1, 2]
    assert len(numbered(world, tmp_path, max_samples=-1)) == 20


def test_in_no_time_one_row_is_encoded_and_it_is_the_longest(world, tmp_path):
    """Rows 0 to 11: row 10 is the first of two digits."""
    assert numbered(world, tmp_path, count=12, within_s=0.0) == [10]
    assert sorted(numbered(world, tmp_path, count=12, within_s=60.0)) == list(range(12))


def test_rows_that_lost_their_end_are_counted_and_named(world, tmp_path):
    cut, _ = dataset(world, tmp_path, max_length=20, truncation="right")
    whole, _ = dataset(world, tmp_path)

    assert (cut.cut, cut.rows, whole.cut, whole.rows) == (1, 1, 0, 1)
    assert cut[0]["input_ids"].tolist() == whole[0]["input_ids"].tolist()[:20]


def test_a_row_of_exactly_the_length_is_not_too_long(world, tmp_path):
    whole, _ = dataset(world, tmp_path)
    length = len(whole[0]["input_ids"])

    assert len(dataset(world, tmp_path, max_length=length)[0]) == 1
    with pytest.raises(ValueError, match=f"row 0: {length} tokens"):
        dataset(world, tmp_path, max_length=length - 1)


def test_words_for_the_template_are_heeded(world, tmp_path):
    template = "{% for m in messages %}{{ m.content }}{% endfor %}{% if sure %} Surely?{% endif %}"
    row = {"prompt": [{"role": "user", "content": "Compute 47+38."}], "completion": "85"}
    rows, tokenizer = dataset(world, tmp_path, [row], template, apply_chat_template_kwargs={"sure": True})

    given = tokenizer.decode(rows[0]["input_ids"][~rows[0]["loss_mask"].bool()])
    assert given == "Compute 47+38. Surely?"


def test_another_way_to_cut_is_refused(world, tmp_path):
    with pytest.raises(ValueError, match=r"data\.truncation=left: error or right"):
        dataset(world, tmp_path, truncation="left")


ASKED = [{"role": "user", "content": "Compute 47+38."}]


def test_the_loss_that_verl_computes_is_of_the_learned_tokens_and_no_others(world, tmp_path):
    """verl shifts the mask over all rows at once, each log-probability being that of the next token."""
    from verl.trainer.sft_trainer import create_sft_dataset
    from verl.utils import tensordict_utils as tu
    from verl.utils.dataset.dataset_utils import SFTTensorCollator
    from verl.workers.utils.losses import sft_loss

    rows = [{"prompt": ASKED, "completion": COMPLETION}, {"prompt": ASKED, "completion": f"{COMPLETION}<|end|>\n"}]
    pq.write_table(pa.Table.from_pylist([*rows, rows[0]]), tmp_path / "rows.parquet")
    own = {"path": "pkg://sinternal_verl.data.sft", "name": "PromptCompletionDataset"}
    config = OmegaConf.create({"max_length": 256, "truncation": "error", "custom_cls": own})
    made = create_sft_dataset(
        str(tmp_path / "rows.parquet"), config, AutoTokenizer.from_pretrained(world["policy"]), None
    )
    items = [made[index] for index in range(3)]
    batch = SFTTensorCollator("no_padding")(items)
    flat = torch.zeros(len(batch["input_ids"].values()), requires_grad=True)
    log_probs = torch.nested.nested_tensor_from_jagged(flat, batch["input_ids"].offsets())
    numbers = {"dp_size": 1, "batch_num_tokens": 1}
    sft_loss(None, {"log_probs": log_probs}, tu.get_tensordict(dict(batch), numbers))[0].backward()

    at, position = [], 0
    for item in items:
        at += [position + number - 1 for number, learned in enumerate(item["loss_mask"].tolist()) if learned]
        position += len(item["input_ids"])
    assert flat.grad.nonzero().flatten().tolist() == at
    assert items[0]["input_ids"].tolist() == items[1]["input_ids"].tolist()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": ASKED, "completion": None}, "it has no completion"),
        ({"prompt": None, "completion": COMPLETION}, "it has no prompt"),
        ({"prompt": [{"role": "user", "content": None}], "completion": COMPLETION}, "content of message 0 .* is null"),
        ({"prompt": [{"role": None, "content": "x"}], "completion": COMPLETION}, "the role None"),
        ({"prompt": [None], "completion": COMPLETION}, "message 0"),
        ({"prompt": [], "completion": COMPLETION}, "holds no messages"),
        ({"prompt": ASKED, "completion": " "}, "is empty"),
    ],
)
def test_a_row_that_cannot_be_trained_on_is_named_with_its_reason(world, tmp_path, row, reason):
    good = {"prompt": ASKED, "completion": COMPLETION}

    with pytest.raises(RowsRefused, match=rf"rows\.parquet, row 1: .*{reason}.*\n1 rows cannot be trained on"):
        dataset(world, tmp_path, [good, row, good])


def test_completions_of_another_type_are_refused(world, tmp_path):
    with pytest.raises(RowsRefused, match="row 0 and 1 more: its completion is no text but 85"):
        dataset(world, tmp_path, [{"prompt": ASKED, "completion": number} for number in (85, 85)])


def test_a_row_whose_prompt_leaves_no_room_is_refused(world, tmp_path):
    with pytest.raises(RowsRefused, match=r"its prompt alone fills data\.max_length=10"):
        dataset(world, tmp_path, max_length=10, truncation="right")


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"pad_mode": "right"}, "data.pad_mode=right: no_padding"),
        ({"enable_thinking_default": False}, r"set \+data.apply_chat_template_kwargs.enable_thinking=false"),
    ],
)
def test_a_setting_of_verls_own_dataset_is_not_passed_over(world, tmp_path, setting, reason):
    with pytest.raises(ValueError, match=reason):
        dataset(world, tmp_path, **setting)


@pytest.mark.parametrize("default", ["none", None])
def test_verls_default_says_nothing_of_thinking(world, tmp_path, default):
    assert len(dataset(world, tmp_path, enable_thinking_default=default)[0]) == 1
