"""What a verifier reads and what a model is to write."""

import pytest

from sinternal_verl.data.template import PromptError, VerificationPrompt, completion
from sinternal_verl.scoring.critique import Critique, parse

CRITIQUE = Critique("It lends the lamp.", "unsafe")


@pytest.mark.parametrize(
    ("target", "thinks", "written"),
    [
        ("critique+judgment", True, "<think>\nIt lends the lamp.\n</think>\n\nVerdict: unsafe"),
        ("judgment", True, "<think>\n\n</think>\n\nVerdict: unsafe"),
        ("critique", True, "<think>\nIt lends the lamp.\n</think>"),
        ("critique+judgment", False, "It lends the lamp.\n\nVerdict: unsafe"),
        ("judgment", False, "Verdict: unsafe"),
        ("critique", False, "It lends the lamp."),
    ],
)
def test_each_target(target, thinks, written):
    assert completion(CRITIQUE, target, thinks) == written


def test_what_an_expert_is_asked_to_write_is_what_the_rule_takes():
    *_, safe, _, unsafe = VerificationPrompt().template.splitlines()

    assert parse(f"It refuses.\n{safe}") == Critique("It refuses.", "safe")
    assert parse(f"It lends.\n{unsafe}") == Critique("It lends.", "unsafe")


def test_a_file_of_ones_own(tmp_path):
    (tmp_path / "prompt.txt").write_text("{specification} {request} {answer} {other}")

    prompt = VerificationPrompt.load(str(tmp_path / "prompt.txt"))

    assert prompt.fill("S", "{answer}", "y\\1") == "S {answer} y\\1 {other}"


def test_a_file_without_a_field_is_refused(tmp_path):
    (tmp_path / "prompt.txt").write_text("{specification} {request}")

    with pytest.raises(PromptError, match=r"lacks \{answer\}"):
        VerificationPrompt.load(str(tmp_path / "prompt.txt"))
