"""A row of SFT on the templates of public models: its prompt is that of inference, and after it come the words of the
completion and one end token."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError
from public_templates import FAMILIES
from transformers import AutoTokenizer

from sinternal_verl.data.adapter import RowError
from sinternal_verl.data.turn import TurnEncoder
from sinternal_verl.tokens import MARK, UNKNOWN

ASKED = [{"role": "user", "content": "Lend it?"}]
THOUGHT = "It lends the lamp."
FULL = f"<think>\n{THOUGHT}\n</think>\n\nNo."
EMPTY = "<think>\n\n</think>\n\nNo."
CHANNELS = f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>No."
CALL = " to=functions.lamp<|channel|>commentary json<|message|>{}"
OPENED, CLOSED, HARMONY = ("r1_distill",), ("qwen3_not_thinking",), ("gpt_oss",)
UNOPENED = ("qwen3_thinking", "qwen2.5", "llama3", "gemma")
COMPLETIONS = dict.fromkeys((*OPENED, *UNOPENED), FULL) | {"qwen3_not_thinking": "No.", "gpt_oss": CHANNELS}
LEARNED = COMPLETIONS | {"r1_distill": FULL.removeprefix("<think>\n")}
"""A completion for each family, and what of it is learned."""

each_family = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module", params=[False, True], ids=["", "merging"])
def tokenizers(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("families")
    return {name: family.tokenizer(folder / name, request.param) for name, family in FAMILIES.items()}


@pytest.fixture(scope="module")
def encoders(tokenizers):
    return {name: TurnEncoder(tokenizers[name], **family.kwargs) for name, family in FAMILIES.items()}


@pytest.fixture
def encode(tokenizers, encoders):
    """From a family, a completion and messages to the text of the prompt and the text that is learned."""

    def texts(family, completion, messages=ASKED):
        prompt, written = encoders[family].encode(messages, completion)
        return tokenizers[family].decode(prompt), tokenizers[family].decode(written)

    return texts


def served(tokenizer, family, messages):
    """The text and the ids that a server makes of messages."""
    text = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=False, **FAMILIES[family].kwargs
    )
    return text, tokenizer.encode(text, add_special_tokens=False)


@each_family
def test_after_the_prompt_of_inference_come_the_completion_and_one_end_token(tokenizers, encoders, family):
    tokenizer, end = tokenizers[family], FAMILIES[family].end
    prompt, written = encoders[family].encode(ASKED, COMPLETIONS[family])
    text, ids = served(tokenizer, family, ASKED)

    assert prompt == ids and text.endswith(FAMILIES[family].opening)
    words = tokenizer.encode(LEARNED[family], add_special_tokens=False)
    assert written == [*words, tokenizer.convert_tokens_to_ids(end)]
    assert tokenizer.decode(written) == LEARNED[family] + end


@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if family.bos])
def test_the_first_token_comes_once_although_tokenizer_and_template_both_write_it(tokenizers, encoders, family):
    tokenizer = tokenizers[family]
    prompt, written = encoders[family].encode(ASKED, COMPLETIONS[family])

    assert tokenizer.encode(tokenizer.bos_token) == [tokenizer.bos_token_id] * 2
    assert [*prompt, *written].count(tokenizer.bos_token_id) == 1


@each_family
@pytest.mark.parametrize("behind", ["", "\n", " \n\t", "twice", "twice, apart"])
def test_a_completion_that_ends_with_its_end_token_gets_no_second_one(encode, family, behind):
    end = FAMILIES[family].end
    behind = {"twice": end, "twice, apart": f"\n{end}\n"}.get(behind, behind)

    assert encode(family, COMPLETIONS[family] + end + behind)[1] == LEARNED[family] + end


@pytest.mark.parametrize(
    ("family", "written", "learned"),
    [
        # vLLM stops at each of these, and they say something else than the usual end.
        ("llama3", "<|eom_id|>", "<|eom_id|>"),
        ("gpt_oss", "<|call|>", "<|call|>"),
        ("gemma", "<eos>", "<eos>"),
        ("gemma", "<end_of_turn>\n<eos>", "<end_of_turn>"),
        # Padding is no end, and no server stops at the token that ends an earlier turn.
        ("qwen3_thinking", "<|endoftext|>", "<|im_end|>"),
        ("qwen2.5", "<|im_end|>\n<|endoftext|><|endoftext|>", "<|im_end|>"),
        ("gemma", "<pad><pad>", "<end_of_turn>"),
        ("gpt_oss", "<|end|>", "<|return|>"),
    ],
)
def test_another_end_token_is_kept_where_a_server_stops_at_it(encode, family, written, learned):
    assert encode(family, COMPLETIONS[family] + written)[1] == LEARNED[family] + learned


@pytest.mark.parametrize(
    "call",
    [
        CALL,
        f"{CHANNELS.partition('final')[0]}commentary<|message|>I ask.<|end|><|start|>assistant{CALL}",
        "<|channel|>commentary to=functions.lamp json<|message|>{}",
    ],
)
def test_a_call_is_a_turn_that_needs_no_answer(encode, call):
    assert encode("gpt_oss", f"{call}<|call|>")[1] == f"{call}<|call|>"


FINAL = "<|channel|>final<|message|>"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (CHANNELS, (THOUGHT, "No.")),
        (f"{FINAL}No.", ("", "No.")),
        (CHANNELS.partition("<|end|>")[0], (THOUGHT, "")),
        (f"{CHANNELS.partition('final')[0]}commentary<|message|>I ask.<|end|><|start|>assistant{FINAL}No.", None),
        (f"{CHANNELS.partition('<|start|>')[0]}<|start|>assistant{CALL}", (f"{THOUGHT}\n{{}}", "")),
        ("No.", ("No.", "")),
        ("", ("", "")),
    ],
)
def test_thought_and_answer_are_read_from_the_channels(encoders, written, read):
    assert encoders["gpt_oss"].header.read(written) == (read or (f"{THOUGHT}\nI ask.", "No."))


def test_only_gpt_oss_leaves_a_header_open(encoders):
    assert [name for name in FAMILIES if encoders[name].header] == ["gpt_oss"]


@pytest.mark.parametrize("known", [True, False], ids=["stops", "does not stop"])
def test_the_end_of_a_turn_is_learned_only_where_the_model_stops_at_it(tmp_path, known):
    """Gemma's tokenizer says <eos>; its generation config adds the token that ends its turns."""
    tokenizer = FAMILIES["gemma"].tokenizer(tmp_path)
    if not known:
        (tmp_path / "generation_config.json").write_text('{"eos_token_id": 1}')
    end = TurnEncoder(tokenizer).encode(ASKED, "No.<end_of_turn>\n")[1][-1]

    assert tokenizer.decode([end]) == ("<end_of_turn>" if known else "<eos>")


def test_a_word_that_serves_as_padding_ends_nothing(tmp_path):
    tokenizer = FAMILIES["qwen3_thinking"].tokenizer(tmp_path)
    tokenizer.pad_token = "!"
    written = TurnEncoder(tokenizer).encode(ASKED, "No! Never!!")[1]

    assert tokenizer.decode(written) == "No! Never!!<|im_end|>"


@pytest.mark.parametrize("family", [*OPENED, *UNOPENED])
@pytest.mark.parametrize("space", ["", "\n", "  \n\n", "\t"])
def test_white_space_before_a_thought_does_not_open_it_twice(encode, family, space):
    assert encode(family, space + FULL)[1] == LEARNED[family] + FAMILIES[family].end


def test_a_line_end_behind_the_tag_is_left_out_only_where_the_template_has_written_one(tmp_path):
    tokenizer = FAMILIES["r1_distill"].tokenizer(tmp_path)
    tokenizer.chat_template = tokenizer.chat_template.replace("<think>\\n", "<think>")
    prompt, written = TurnEncoder(tokenizer).encode(ASKED, FULL)

    assert tokenizer.decode([*prompt, *written]).partition("<｜Assistant｜>")[2] == FULL + tokenizer.eos_token  # noqa: RUF001


@pytest.mark.parametrize(
    ("family", "completion", "learned"),
    [
        ("r1_distill", EMPTY, "</think>\n\nNo."),
        ("r1_distill", f"{THOUGHT}\n</think>\n\nNo.", f"{THOUGHT}\n</think>\n\nNo."),
        ("r1_distill", "<think></think>No.", "</think>No."),
        ("r1_distill", f"<think>\n{THOUGHT}\n</think>", f"{THOUGHT}\n</think>"),
        ("qwen3_thinking", EMPTY, EMPTY),
        ("qwen3_thinking", "No.", "No."),
        ("qwen3_not_thinking", EMPTY, "No."),
        ("qwen3_not_thinking", f"\n{EMPTY}", "No."),
        ("llama3", " No.\n", " No.\n"),
        ("gpt_oss", f"\n{CHANNELS}", CHANNELS),
        ("gpt_oss", CHANNELS.rpartition("assistant")[2], CHANNELS.rpartition("assistant")[2]),
        ("qwen3_thinking", f"<think>\n{THOUGHT}\n</think>", f"<think>\n{THOUGHT}\n</think>"),
    ],
)
def test_what_the_template_has_written_is_not_written_again(encode, family, completion, learned):
    assert encode(family, completion)[1] == learned + FAMILIES[family].end


@pytest.mark.parametrize(
    ("family", "completion", "reason"),
    [
        ("r1_distill", "No.", "opens a thought, and its completion has no </think>"),
        ("r1_distill", f"<think>\n{THOUGHT}", "has no </think>"),
        ("r1_distill", f"<think><think>{THOUGHT}</think>No.", "once more"),
        ("r1_distill", f"{FULL}\n</think>", "once more"),
        ("qwen3_thinking", f"<think>\n{THOUGHT}", "never closes it"),
        ("qwen3_thinking", f"{THOUGHT}\n</think>\n\nNo.", "where it has no thought"),
        ("llama3", f"Well. {FULL}", "where it has no thought"),
        ("qwen3_thinking", FULL + FULL, "once more"),
        ("qwen3_not_thinking", FULL, "enable_thinking=true"),
        ("qwen3_not_thinking", f"{THOUGHT}</think>No.", "where it has no thought"),
        ("qwen3_not_thinking", f"{EMPTY}{FULL}", "where it has no thought"),
        ("qwen3_not_thinking", "<think>\n\n</think>\n\n", "nothing but an empty thought"),
        ("qwen3_thinking", "<think>\n\n</think>\n\n", "nothing but an empty thought"),
        ("qwen3_thinking", "<think></think><|im_end|>", "nothing but an empty thought"),
        ("r1_distill", " </think>\n", "nothing but an empty thought"),
        ("gpt_oss", FULL, r"waits for <\|channel\|>.*<\|channel\|>final<\|message\|>ANSWER"),
        ("gpt_oss", "No.", "channel"),
        ("gpt_oss", f"{CHANNELS}<|end|><|start|>user<|message|>Why?", "another role"),
        ("gpt_oss", "<|channel|>final No.", "without a whole header"),
        ("gpt_oss", "<|channel|><|message|>No.", "without a whole header"),
        ("gpt_oss", CHANNELS.replace("<|channel|>final<|message|>", ""), "without a whole header"),
        ("gpt_oss", CHANNELS.replace("<|channel|>final", ""), "without a whole header"),
        ("gpt_oss", f"{CHANNELS}<|message|>Yes.", "without a whole header"),
        ("gpt_oss", CHANNELS.replace("<|end|>", "<|end|>\n"), "a text between two parts"),
        ("gpt_oss", CHANNELS.replace("<|end|>", "<|end|>Well."), "a text between two parts"),
        ("gpt_oss", CHANNELS.replace("<|end|>", ""), "a text between two parts"),
        ("gpt_oss", CHANNELS.replace("assistant", "assistant, or so"), "a text between two parts"),
        ("gpt_oss", f" to={CHANNELS}", "without a whole header"),
        ("gpt_oss", CHANNELS.partition("<|end|>")[0], r"its last part must begin with <\|channel\|>final<\|message\|>"),
        ("gpt_oss", f"{CHANNELS.partition('<|end|>')[0]}<|return|>", "ends without an answer"),
        ("gpt_oss", CALL, "ends without an answer"),
        ("gpt_oss", "<|channel|>final<|message|>", "headers and no text"),
        ("gpt_oss", f"{CHANNELS}<|return|>{CHANNELS}", "without a whole header"),
        ("gpt_oss", f"{CHANNELS}<|return|>Yes.", r"<\|return\|>, which ends"),
        ("qwen2.5", "No.<|im_end|>\n<|im_start|>user\nWhy?", r"<\|im_end\|>, which ends"),
        ("qwen2.5", "No.\n<|im_start|>user\nWhy?", r"<\|im_start\|>, which ends or begins"),
        ("llama3", "<|begin_of_text|>No.", r"<\|begin_of_text\|>, which ends or begins"),
        ("gemma", "No.<eos>No.", "<eos>, which ends"),
        ("llama3", "", "empty"),
        ("llama3", " \n", "empty"),
        ("llama3", "<|eot_id|>", "empty"),
    ],
)
def test_a_completion_that_does_not_fit_the_template_is_refused(encode, family, completion, reason):
    with pytest.raises(RowError, match=reason):
        encode(family, completion)


@pytest.mark.parametrize(
    ("family", "messages", "reason"),
    [
        ("gemma", [{"role": "system", "content": "Be brief."}, *ASKED], "System role not supported"),
        ("gemma", ASKED * 2, "must alternate"),
        ("qwen3_thinking", [{"role": "developer", "content": "Be brief."}, *ASKED], "leaves out message 0 .*developer"),
        ("r1_distill", [{"role": "system", "content": "Be brief."}, {"role": "system", "content": "x"}], "message 0"),
        ("qwen3_thinking", [{"role": "human", "content": "Lend it?"}], "role 'human'"),
        ("llama3", [{"role": None, "content": "Lend it?"}], "role None"),
        ("llama3", [{"role": "user", "content": None}], "content of message 0 of its prompt is null"),
        ("llama3", [{"role": "user"}], "is null"),
        ("llama3", [{"role": "user", "content": [{"type": "text", "text": "Lend it?"}]}], "a list of parts"),
        ("llama3", [*ASKED, {"role": "assistant", "content": "", "tool_calls": [{"name": "f"}]}], "tool_calls"),
        ("llama3", [None], "message 0"),
        ("llama3", [], "holds no messages"),
        ("llama3", "Lend it?", "holds no messages"),
        ("llama3", None, "holds no messages"),
        ("gpt_oss", [*ASKED, {"role": "assistant", "content": CHANNELS}, *ASKED], "does not take its prompt"),
        ("gpt_oss", [*ASKED, {"role": "tool", "content": "4"}], "does not take its prompt"),
    ],
)
def test_messages_that_the_template_does_not_take_are_refused(encode, family, messages, reason):
    with pytest.raises(RowError, match=reason):
        encode(family, COMPLETIONS[family], messages)


def test_keys_that_parquet_has_filled_with_null_are_no_keys(encode):
    """gpt-oss's template asks whether a message has tool_calls or thinking, not what they hold."""
    filled = [{**ASKED[0], "tool_calls": None}, {"role": "assistant", "content": "No.", "thinking": None}, *ASKED]
    bare = [{key: value for key, value in message.items() if value is not None} for message in filled]

    assert encode("gpt_oss", CHANNELS, filled) == encode("gpt_oss", CHANNELS, bare)


def test_a_template_without_a_generation_prompt_of_its_own(tmp_path):
    """A guard's template opens the answer whatever it is asked for."""
    tokenizer = FAMILIES["qwen3_thinking"].tokenizer(tmp_path)
    tokenizer.chat_template = "{{ messages[0].content }} Safe?\n<think>\n\n</think>\n\n"
    prompt, written = TurnEncoder(tokenizer).encode([{"role": "user", "content": "<think> Lend it?"}], "Safe")

    assert tokenizer.decode(written) == "Safe<|im_end|>"
    assert tokenizer.decode(prompt).startswith("<think> Lend it? Safe?\n<think>\n\n</think>\n")
    with pytest.raises(RowError, match="thinks once more"):
        TurnEncoder(tokenizer).encode(ASKED, FULL)


def test_another_header_that_the_template_leaves_open_is_found(tmp_path):
    tokenizer = FAMILIES["gpt_oss"].tokenizer(tmp_path)
    tokenizer.chat_template = (
        "{% for m in messages %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
    )
    encoder = TurnEncoder(tokenizer)

    assert tokenizer.decode(encoder.encode(ASKED, "<|message|>No.<|end|>")[1]) == "<|message|>No.<|return|>"
    with pytest.raises(RowError, match=r"waits for <\|message\|>, .* as <\|message\|>ANSWER"):
        encoder.encode(ASKED, FULL)


def test_a_tokenizer_without_a_template_or_an_end_is_refused(tmp_path):
    tokenizer = FAMILIES["llama3"].tokenizer(tmp_path)
    tokenizer.chat_template = None
    with pytest.raises(ValueError, match="no chat template"):
        TurnEncoder(tokenizer)


TEXTS = st.lists(
    st.sampled_from(
        [
            "Lend it?",
            " ",
            "\n",
            "\n\n",
            "<think>",
            "</think>",
            "\n</think>\n\n",
            "No.",
            "å 你",
            "{{ x }}",
            "<b>",
            "\ue5c7",
        ]
    )
    | st.text(max_size=5),
    max_size=6,
).map("".join)
OWN = st.builds("<think>\n{}\n</think>\n\n{}".format, TEXTS, TEXTS) | TEXTS
MESSAGES = st.lists(
    st.sampled_from(["system", "user", "tool"]).flatmap(lambda role: st.builds(dict, role=st.just(role), content=TEXTS))
    | st.builds(dict, role=st.just("assistant"), content=OWN),
    min_size=1,
    max_size=5,
)


@each_family
@settings(max_examples=30, deadline=None)
@given(messages=MESSAGES)
def test_the_prompt_of_any_conversation_is_that_of_inference(tokenizers, encoders, family, messages):
    """An earlier turn of the assistant keeps its thought, or loses it, as the template has it. In the other turns a tag
    is letters here, and one token to a server, where the tokenizer has such a token."""
    messages = [{**message, "content": message["content"].replace(MARK, UNKNOWN)} for message in messages]
    try:
        text, ids = served(tokenizers[family], family, messages)
    except TemplateError:
        with pytest.raises(RowError):
            encoders[family].encode(messages, COMPLETIONS[family])
        return
    try:
        prompt, _ = encoders[family].encode(messages, COMPLETIONS[family])
    except RowError as error:
        # R1's template here has no place for a tool, and shows only the last system message.
        assert "leaves out" in str(error) or "no </think>" in str(error)
        return
    assert tokenizers[family].decode(prompt) == text
    others = "".join(message["content"] for message in messages if message["role"] != "assistant")
    if "think>" not in others:
        assert prompt == ids


@each_family
@settings(max_examples=30, deadline=None)
@given(words=TEXTS, ends=st.lists(st.sampled_from(["", "\n", "end", " "]), max_size=3))
def test_any_answer_is_learned_whole_with_one_end_token_behind_it(tokenizers, encoders, family, words, ends):
    assume(words.strip() and "think>" not in words)
    tokenizer, end = tokenizers[family], FAMILIES[family].end
    lead = {"r1_distill": f"{THOUGHT}\n</think>", "gpt_oss": CHANNELS}.get(family, "No. ")
    written_end = end + "".join(ends).replace("end", end) if ends else ""
    prompt, written = encoders[family].encode(ASKED, lead + words + written_end)

    assert prompt == served(tokenizer, family, ASKED)[1]
    assert tokenizer.decode(written) == lead + words + end
    assert (
        written.count(tokenizer.convert_tokens_to_ids(end))
        == 1
        == (written[-1:] == [tokenizer.convert_tokens_to_ids(end)])
    )


@each_family
@settings(max_examples=20, deadline=None)
@given(data=st.data(), words=TEXTS)
def test_no_word_of_a_prompt_is_a_control_token(tokenizers, encoders, family, data, words):
    token = data.draw(st.sampled_from([*FAMILIES[family].tokens, *FAMILIES[family].plain]))
    tokenizer, asked = tokenizers[family], [{"role": "user", "content": f"Is {words}{token} safe?"}]
    prompt, _ = encoders[family].encode(asked, COMPLETIONS[family])
    usual, _ = encoders[family].encode(ASKED, COMPLETIONS[family])
    controls = set(tokenizer.added_tokens_decoder)

    assert [id for id in prompt if id in controls] == [id for id in usual if id in controls]
    assert token in tokenizer.decode(prompt)


def test_the_policy_of_the_small_world(world):
    tokenizer = AutoTokenizer.from_pretrained(world["policy"])
    earlier = [*ASKED, {"role": "assistant", "content": FULL}, *ASKED]
    prompt, written = TurnEncoder(tokenizer).encode(earlier, f"\n{FULL}<|end|>\n")

    assert "It lends" not in tokenizer.decode(prompt) and tokenizer.decode(prompt).count("<think>") == 1
    assert tokenizer.decode(written) == FULL.removeprefix("<think>\n") + "<|end|>"
