"""Every symbol of Inspect that has no public name and that the package leans on. When an upgrade breaks one, the
sentence here says what depends on it."""

import importlib
import inspect

import pytest

pytest.importorskip("inspect_ai", reason="Inspect needs Python 3.11")

SYMBOLS = [
    ("inspect_ai._util.error", "PrerequisiteError", "what is printed as a message, without a traceback"),
    ("inspect_ai.model._generate_config", "active_generate_config", "decoding.py sees --temperature and --extra-body"),
    (
        "inspect_ai.model._providers.openai_compatible",
        "OpenAICompatibleAPI.handle_bad_request",
        "server.py reads a server's refusal there",
    ),
    ("inspect_ai.log._transcript", "Transcript.attachments", "answers.py finds a long response in it"),
    ("inspect_ai.log._transcript", "Transcript.history", "answers.py finds the call's record in it"),
    ("inspect_ai.log._transcript", "TranscriptHistory.recent_events", "answers.py finds the call's record in it"),
]


@pytest.mark.parametrize(("module", "symbol", "why"), SYMBOLS, ids=[f"{m}.{s}" for m, s, _ in SYMBOLS])
def test_symbol_is_still_there(module, symbol, why):
    found = importlib.import_module(module)
    for name in symbol.split("."):
        found = getattr(found, name)


def test_inspect_sets_the_epochs_of_a_task_for_its_own_option():
    """`DecodedTask` refuses them there."""
    from inspect_ai._eval import run

    assert "task.epochs = task_eval_config.epochs" in inspect.getsource(run)
