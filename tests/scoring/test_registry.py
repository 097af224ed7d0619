"""Scorers found, configured and routed; every way to get it wrong has its own message."""

import pytest

from sinternal_verl.scoring import registry
from sinternal_verl.scoring.boxed_math import BoxedMath
from sinternal_verl.scoring.registry import Router, ScorerError, bind, scorer
from sinternal_verl.scoring.score import Outcome, Sample, Score

MINE = """
from sinternal_verl.scoring.registry import scorer
from sinternal_verl.scoring.score import Outcome, Sample, Score

@scorer("length")
def length(sample: Sample, limit: int = 5) -> Score:
    return Score(float(len(sample.response) <= limit), Outcome.SCORED)
"""

BOXED = {"sources": ["*"]}


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    return str(tmp_path / "mine.py")


def test_a_file_with_one_decorated_function_is_a_scorer(mine):
    bound = bind("length", {"path": mine, "sources": "chat", "limit": 2})

    assert bound.call(Sample("chat", "Hi")).value == 1.0
    assert bound.call(Sample("chat", "Hello")).value == 0.0


def test_one_file_may_be_loaded_twice_and_serve_two_entries(mine):
    short, long = (
        bind(key, {"path": mine, "scorer": "length", "sources": [key], "limit": n}) for key, n in [("s", 2), ("l", 9)]
    )

    assert [bound.call(Sample("", "12345")).value for bound in (short, long)] == [0.0, 1.0]


def test_an_installed_function_needs_no_decorator():
    bound = bind(
        "mine", {"_target_": "sinternal_verl.scoring.boxed_math.BoxedMath", "sources": ["*"], "thought": "none"}
    )

    assert bound.call(Sample("", r"\boxed{1}", "1")).outcome is Outcome.CORRECT


def test_two_scorers_of_one_name_are_refused(mine):
    bind("length", {"path": mine, "sources": ["*"]})
    with pytest.raises(ValueError, match="two scorers are named 'length'"):

        @scorer("length")
        def other(sample):
            return Score(0.0, Outcome.SCORED)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, "it scores nothing"),
        ({"sources": []}, "it scores nothing"),
        ({"sources": ["*"], "mode": "strict"}, "mode='strict'.*literal.*normalized"),
        ({"sources": ["*"], "modes": 1}, "no such setting; write sinternal.scorers.boxed_math.mode"),
        ({"sources": ["*"], "path": "/nowhere.py"}, "cannot be imported.*FileNotFoundError"),
        ({"sources": ["*"], "path": "pkg://no.such.module"}, "cannot be imported.*ModuleNotFoundError"),
        ({"sources": ["*"], "_target_": "sinternal_verl.scoring.boxed_math.nothing"}, "has no callable nothing"),
        ({"sources": ["*"], "scorer": "boxed_meth"}, "no scorer of this name.*boxed_math"),
    ],
)
def test_a_scorer_that_cannot_be_used_says_why(entry, words):
    with pytest.raises(ScorerError, match=words):
        bind("boxed_math", entry)


def test_every_setting_that_a_scorer_does_not_have_is_named(mine):
    """Its parameters say which it has; one that takes any says nothing."""
    entry = {"path": mine, "sources": ["*"], "limit": 3, "limmit": 3, "x": 1}
    registry.scorer("any")(lambda sample, **settings: Score(1.0, Outcome.SCORED))

    found = {error.key: error.next_step for error in registry.unknown_settings("length", entry)}
    assert found == {"length.limmit": "write sinternal.scorers.length.limit", "length.x": "its settings are limit"}
    assert registry.unknown_settings("any", {"sources": ["*"], "x": 1}) == []


def test_an_error_in_the_users_file_is_shown(tmp_path):
    (tmp_path / "broken.py").write_text("import nothing_of_this_name")
    with pytest.raises(ScorerError, match="nothing_of_this_name"):
        bind("mine", {"path": str(tmp_path / "broken.py"), "sources": ["*"]})


@pytest.mark.parametrize(
    ("source", "key"),
    [("math500", "exact"), ("math_dapo", "pattern"), ("chat", "rest"), ("math", "rest")],
)
def test_an_exact_source_wins_over_a_pattern_and_a_longer_pattern_over_a_shorter(source, key):
    entries = {"rest": ["*"], "pattern": ["math_*"], "exact": ["math500"]}
    router = Router.from_config({name: {"scorer": "boxed_math", "sources": own} for name, own in entries.items()})

    assert router.find(source).key == key


def test_of_two_patterns_that_fit_the_longer_wins_in_any_order():
    for names in (("*", "safety/*", "safety/harmful/*"), ("safety/harmful/*", "safety/*", "*")):
        router = Router.from_config({name: {"scorer": "boxed_math", "sources": [name]} for name in names})

        assert router.find("safety/harmful/x").key == "safety/harmful/*"
        assert router.find("safety/benign/x").key == "safety/*"
        assert router.find("math").key == "*"


def test_each_scorer_is_there_once_and_every_source_it_takes():
    router = Router.from_config({"boxed_math": {"sources": ["a", "b"]}, "c": {"scorer": "boxed_math", "sources": "c"}})

    assert [bound.key for bound in router.scorers] == ["boxed_math", "c"]
    assert router.sources == ["a", "b", "c"] and router.find(None) is None


def test_a_source_nobody_takes_has_no_scorer():
    router = Router.from_config({"boxed_math": {"sources": ["math*"]}})

    assert router.find("chat") is None
    assert router.sources == ["math*"]


def test_two_scorers_of_one_source_are_refused():
    with pytest.raises(ScorerError, match="scorer boxed_math claims the same source"):
        Router.from_config({"boxed_math": BOXED, "other": {"scorer": "boxed_math", **BOXED}})


def test_an_entry_set_to_null_is_gone():
    assert Router.from_config({"boxed_math": None}).sources == []


@pytest.mark.parametrize(
    ("truth", "fits"), [("5", True), ("", False), (" ", False), (5, False), (None, False), ("x" * 1001, False)]
)
def test_a_scorer_says_which_ground_truths_it_takes(truth, fits):
    bound = bind("boxed_math", BOXED)

    assert (bound.check_ground_truth(truth) is None) == fits
    assert (BoxedMath()(Sample("", r"</think>\boxed{5}", truth)).outcome is not Outcome.BAD_GOLD) == fits


def test_what_runs_inline_in_a_thread_or_awaited():
    async def asks(sample):
        return Score(1.0, Outcome.SCORED)

    assert not bind("boxed_math", BOXED).blocking
    registry.scorer("asks")(asks)
    bound = bind("asks", BOXED)
    assert bound.is_async and not bound.blocking
    registry.scorer("waits")(lambda sample: Score(1.0, Outcome.SCORED))
    assert bind("waits", BOXED).blocking
