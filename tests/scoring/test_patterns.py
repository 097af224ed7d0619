"""Patterns of `re` use only what Python 3.10 knows; it has no possessive repeats and no atomic groups."""

import importlib
import pkgutil
import re

import pytest

from sinternal_verl import scoring

parser = pytest.importorskip("re._parser", reason="Python 3.10 itself refuses such a pattern")

PATTERNS = {
    f"{each.name}.{name}": value.pattern
    for each in pkgutil.iter_modules(scoring.__path__, f"{scoring.__name__}.")
    for name, value in vars(importlib.import_module(each.name)).items()
    if isinstance(value, re.Pattern)
}


def too_new(pattern: str) -> bool:
    return any(word in repr(parser.parse(pattern)) for word in ("POSSESSIVE_REPEAT", "ATOMIC_GROUP"))


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_is_one_that_python_3_10_knows(name):
    assert too_new("a*+") and not too_new("a*")
    assert not too_new(PATTERNS[name])
