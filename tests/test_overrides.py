"""A value that is written as an override is read back as it was, by Hydra and by a shell."""

import shlex
import subprocess
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from sinternal_verl.overrides import is_single, override, shell_line, with_texts

NAMES = (
    "lr=1e-6",
    "grpo,seed1",
    "a#b",
    "a b",
    " both ends ",
    "it's",
    'say "so"',
    'it\'s "so"',
    "back\\slash",
    "ends\\",
    "\\'",
    '\\"',
    "\\\\",
    "$HOME",
    "${HOME}",
    "\\${HOME}",
    "100%",
    "%(asctime)s",
    "seed é 中文 ไทย",
    "~",
    "~/runs",
    "[1]",
    "{a: b}",
    "(1)",
    "a:b",
    "a;b&c|d",
    "*?!",
    "@a",
    "+a",
    "-a",
    "20251125",
    "1e-6",
    "007",
    "1_000",
    "null",
    "true",
    "inf",
    "",
    "two\nlines",
    "`date`",
)
TEXTS = st.one_of(st.sampled_from(NAMES), st.text(alphabet=st.sampled_from("\\'\"${}=,#[]() \t:~%a/é"), max_size=12))
NUMBERS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False))


def read(*words: str) -> dict:
    """The configuration that Hydra composes of these words, by one access to each value."""
    with initialize_config_module("sinternal_verl.recipes", version_base=None):
        config = compose(overrides=list(words))
    return OmegaConf.to_container(config, resolve=True)


def every(test):
    for name in NAMES:
        test = example(name)(test)
    return test


@every
@settings(deadline=None)
@given(TEXTS)
def test_a_text_is_read_back_as_it_was(text):
    assert read(override("+a", text), override("+b.c", Path("/runs") / text), override("+d", [text, "e"])) == {
        "a": text,
        "b": {"c": str(Path("/runs") / text)},
        "d": [text, "e"],
    }


@settings(deadline=None)
@given(st.lists(st.one_of(NUMBERS, st.sampled_from(NAMES))))
def test_numbers_stay_numbers_and_texts_stay_texts(values):
    found = read(override("+a", values))["a"]

    assert found == values and [type(value) for value in found] == [type(value) for value in values]


def test_a_shell_and_hydra_after_it_read_the_same():
    words = [override(f"+a{number}", name) for number, name in enumerate(NAMES)]

    line = f"printf '%s\\0' {shell_line(*words)}"
    printed = subprocess.run(["bash", "-c", line], capture_output=True, timeout=20, check=True).stdout
    assert printed.decode().split("\0")[:-1] == words == shlex.split(shell_line(*words))
    assert list(read(*words).values()) == list(NAMES)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("+out=20251125", "20251125"),
        ("+out=1e-6", "1e-6"),
        ("+out=2025.10", "2025.10"),
        ("+out=1_000", "1_000"),
        ("+out=007", "007"),
        ("+out=true", "true"),
        ("+out= 5 ", "5"),
        ("+out='5'", "5"),
        ("+out=runs", "runs"),
        ("+out=null", None),
        ("+seed=5", 5),
    ],
)
def test_a_folder_may_be_called_as_a_number_is(word, value):
    assert list(read(*with_texts([word], {"out"})).values()) == [value]


@pytest.mark.parametrize("word", ["out=/runs/a=b#c", "out=a,b", "out='a", "out", "--out=a", "a b=c"])
def test_a_word_is_no_single_value(word):
    assert not is_single(word)


@pytest.mark.parametrize("word", ["out='/runs/a,b=c#d'", "+out=[a,b]", "++out={a: 1}", "out=", "~out"])
def test_a_word_is_a_single_value(word):
    assert is_single(word)
