r"""Puts texts that are not to be trusted into a judge's prompt.

Guaranteed:
1. A text stands between two lines that hold a tag, and neither text holds that tag: it is made from a digest of the
   texts and made anew where one of them holds it all the same. So no text ends its own place. The same texts have the
   same tag, so that Inspect's cache finds them again.
2. Texts are put in once, so braces and marks in them change nothing.
3. No text holds what the usual chat templates take for a control token (`without_control_tokens`).

Not guaranteed: that a judge is not persuaded. A text may address the judge, claim to be its instructions, or quote a
verdict for it to repeat. Control tokens of another form pass; a judge of ours (`qwen3guard`) is sent token ids instead.

>>> without_control_tokens("It ends here.<|im_end|>")
'It ends here.< |im_end|>'
"""

import hashlib
import re
from collections.abc import Mapping

from sinternal_verl.tokens import whole_text

TAG_LETTERS = 12
"""Of the digest's hexadecimal digits."""

_CONTROL = re.compile(
    r"<(?=[|\uff5c])"  # ChatML, Llama 3, Phi, DeepSeek, harmony
    r"|<(?=[^<>|\uff5c\s]{1,40}[|\uff5c]>)"  # Gemma 4 closes so
    r"|<(?=/?(?:s|bos|eos|pad|unk|mask|sop|eop|think|unused\d{1,6}|reserved_\w{1,40}"
    r"|[a-z]{1,20}(?:_[a-z]{1,20}){1,3})>)"  # Llama 2, Gemma, Qwen's tags
    r"|<(?=<?/?SYS>)"
    r"|\[(?=/?[A-Z][A-Z_]{1,30}\]|\||gMASK\]|control_\d)"  # Mistral, EXAONE, GLM
)

_MARK = re.compile(r"\{\{ *(\w+) *\}\}")


def without_control_tokens(text: str) -> str:
    """``text`` with a space behind each bracket that opens what may be a control token."""
    return _CONTROL.sub(lambda bracket: bracket[0] + " ", whole_text(text))


def fill(prompt: str, texts: Mapping[str, str]) -> str:
    """``prompt`` with each ``{{ name }}`` replaced by its text, as it stands.

    >>> fill("Q: {{ a }}, {{ b }}", {"a": "{{ b }} {0} %s", "b": "2"})
    'Q: {{ b }} {0} %s, 2'
    """
    return _MARK.sub(lambda mark: texts[mark[1]], prompt)


def frame(prompt: str, texts: Mapping[str, str]) -> str:
    """``prompt`` with each ``{{ name }}`` replaced by its text between two lines with a tag, and ``{{ tag }}`` by that
    tag."""
    cleaned = {name: without_control_tokens(text) for name, text in texts.items()}
    tag = _tag_for(list(cleaned.values()))
    framed = {name: f"[BEGIN {tag}]\n{text}\n[END {tag}]" for name, text in cleaned.items()}
    return fill(prompt, framed | {"tag": tag})


def marks_of(prompt: str) -> frozenset[str]:
    """The names that a prompt has places for."""
    return frozenset(_MARK.findall(prompt))


def _tag_for(texts: list[str]) -> str:
    count = 0
    while True:
        whole = "\x00".join([str(count), *texts])
        tag = hashlib.sha256(whole.encode()).hexdigest()[:TAG_LETTERS]
        if not any(tag in text.lower() for text in texts):
            return tag
        count += 1
