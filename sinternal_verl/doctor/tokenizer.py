"""Does ``AutoTokenizer`` load a model's tokenizer as its own ``tokenizer.json`` defines it?

transformers 5 builds some classes anew from only the vocabulary. DeepSeek-R1-Distill-Llama-8B, with
``LlamaTokenizerFast`` and ``model_type: llama``, gets a tokenizer that splits text by another rule: the ids differ,
and spaces are lost. (transformers 5.9.0 and 5.10.4, issues 45488 and 46710)
"""

import json
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from omegaconf import DictConfig

from sinternal_verl.config import get, model_key
from sinternal_verl.doctor.pretrained import local_file
from sinternal_verl.doctor.problem import Finding, Note, Problem

PROBES = (
    "The quick brown fox jumps over 13 lazy dogs.",
    "  two  spaces,\n\n\ta tab and\r\na line\n",
    "x = 3.14159 * (a_b - 7)  # 2024",
    "Ærø, naïve café, Ελλάδα: 你好世界 🙂",
)
"""Texts with spaces, other kinds of white space, digits, and letters of several scripts."""

MISTRAL = "MistralCommonBackend"
"""A class that reads ``tekken.json``; for its models that file is right and ``tokenizer.json`` may be wrong."""

CLASS = "PreTrainedTokenizerFast"
"""The class that takes ``tokenizer.json`` as it is."""


def check_tokenizer(config: DictConfig) -> Iterator[Finding]:
    """Check the tokenizer of the model that learns, where it is on this machine; `guard` checks the guard's."""
    model = model_key(config)
    key = f"{model}.tokenizer_path" if get(config, f"{model}.tokenizer_path") else f"{model}.path"
    yield from compare(key, get(config, key), bool(get(config, f"{model}.trust_remote_code", False)))


def compare(key: str, path: str | None, trust_remote_code: bool = False) -> Iterator[Finding]:
    """Yield a problem where a probe text does not read back as it was, a note where only its ids differ.

    Args:
        key: the key at which ``path`` is set.
        path: a folder or hub id.
    """
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    file = local_file(path, "tokenizer.json") if path and "://" not in path else None
    if file is None:
        return
    try:
        built = AutoTokenizer.from_pretrained(file.parent, trust_remote_code=trust_remote_code, local_files_only=True)
    except (OSError, ValueError):
        return  # no tokenizer; `model` reports it
    if type(built).__name__ == MISTRAL:
        return
    own = Tokenizer.from_file(str(file))
    own.no_padding()
    own.no_truncation()
    for text in PROBES:
        ids = own.encode(text, add_special_tokens=False).ids
        others = built.encode(text, add_special_tokens=False)
        wanted = own.decode(ids, skip_special_tokens=False)
        reads, back = (
            built.decode(each, skip_special_tokens=False, clean_up_tokenization_spaces=False) for each in (ids, others)
        )
        if others != ids or reads != wanted:
            made = (
                f"transformers makes a {type(built).__name__} of it, which does not agree with its own tokenizer.json"
            )
            if reads == back == wanted:
                # This is so for every qwen2: transformers chooses the class by the architecture alone.
                reason = f"{made}: {text!r} has other ids, and reads back as it was"
                yield Note(key, path, reason, "nothing for a model that was trained with that class; else retrain it")
                return
            reason = f"{made}: {text!r} has other ids and reads back as {back!r}"
            step = f"make a copy of the folder (links will do) whose tokenizer_config.json says {CLASS}"
            yield Problem(key, path, reason, f"{step}: {copy_command(key, file.parent)}")
            return


def copy_command(key: str, folder: Path) -> str:
    """The command that makes a corrected copy of the tokenizer's folder, and the override that uses it."""
    whole, copy, settings = str(folder.absolute()), f"{folder.absolute().name}-tokenizer", "tokenizer_config.json"
    if "tokenizer_class" in json.loads((folder / settings).read_text()):
        edit = rf's/"tokenizer_class": *"[^"]*"/"tokenizer_class": "{CLASS}"/'
    else:
        edit = f'0,/{{/s//{{"tokenizer_class": "{CLASS}",/'
    links = f"cp -rs {quote(whole)} {quote(copy)}"
    return f"{links} && sed -i {quote(edit)} {quote(f'{copy}/{settings}')}, then {key}=$PWD/{copy}"
