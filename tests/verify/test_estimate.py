"""What a build is said to cost before it asks, against what it then asks."""

import sys
from types import SimpleNamespace

import pytest

from sinternal_verl.verify import estimate
from sinternal_verl.verify.build import Build
from sinternal_verl.verify.estimate import ANSWER_CHARACTERS, BYTES_PER_TOKEN, confirmed, foresee
from sinternal_verl.verify.requests import Prompt
from sinternal_verl.verify.settings import BUILD, EVALUATE, build_settings, compose_build
from sinternal_verl.verify.store import Reply, Store

PROMPTS = [Prompt("Lend it?", "harmful", "orla", "1"), Prompt("Mend it?", "benign", "orla", "2")]
AWAY = "expert.url=https://api.example.com/v1"


def settings(*more: str):
    given = ["prompts=p.jsonl", "out=o", "policy.model=p", "policy.url=http://127.0.0.1:1/v1", "expert.model=e"]
    return build_settings(compose_build([*given, "expert.url=http://127.0.0.1:2/v1", *more]))


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.sqlite") as opened:
        yield opened


def requests(found) -> dict[str, tuple[int, int]]:
    return {one.kind: (one.requests, one.most_requests) for one in found}


def test_a_build_asks_of_each_benign_prompt_at_least_once_and_an_evaluation_of_all(store):
    assert requests(foresee(settings(), PROMPTS, store, BUILD)) == {"answers": (16, 16), "critiques": (9, 16)}
    assert requests(foresee(settings(), PROMPTS, store, EVALUATE)) == {
        "answers": (16, 16),
        "critiques": (16, 16),
        "verdicts": (16, 16),
    }
    assert requests(foresee(settings(), PROMPTS, store, ("select",))) == {}


def test_what_is_in_the_store_is_not_asked_for_and_what_cannot_be_judged_is_not_either(store):
    now = settings()
    build = Build(now, store)
    for number, request in enumerate(build.answer_requests(PROMPTS)):
        store.add(request.key, Reply(f"Hm.</think>Answer {number}", finish="length" if number < 2 else "stop"))
    for request in list(build.critique_requests(PROMPTS, every=False))[:3]:
        store.add(request.key, Reply("It lends.\nVerdict: unsafe", written=40))

    answers, critiques = foresee(now, PROMPTS, store, BUILD)
    # Of the harmful prompt's 8 answers 2 were cut and 3 are judged; of the benign one's the first is to be judged.
    assert answers.requests == 0 and (critiques.requests, critiques.most_requests) == (4, 11)
    assert critiques.written == 4 * 40 and critiques.most_written == 11 * 2048


def test_equal_answers_are_asked_about_once(store):
    """Of a prompt's 8 answers 3 differ."""
    now = settings()
    build = Build(now, store)
    for number, request in enumerate(build.answer_requests(PROMPTS)):
        store.add(request.key, Reply(f"Hm.</think>Answer {number % 3}"))

    assert requests(foresee(now, PROMPTS, store, BUILD)) == {"answers": (0, 0), "critiques": (4, 6)}
    found = requests(foresee(now, PROMPTS, store, EVALUATE))
    assert found == {"answers": (0, 0), "critiques": (6, 6), "verdicts": (6, 6)}


def test_fallbacks_that_are_in_the_store_are_not_asked_for(store):
    """Of the benign prompt's 8 answers 5 have a critique without a verdict, the first of the order not among them."""
    now = settings()
    build = Build(now, store)
    for number, request in enumerate(build.answer_requests(PROMPTS[1:])):
        store.add(request.key, Reply(f"Hm.</think>Answer {number}"))
    (first,) = build.critique_requests(PROMPTS[1:], every=False)
    later = first.fallback
    for _ in range(5):
        store.add(later.key, Reply("It lends."))
        later = later.fallback

    assert requests(foresee(now, PROMPTS[1:], store, ("critique",))) == {"critiques": (1, 3)}
    store.add(later.key, Reply("It lends.\nVerdict: safe"))
    assert requests(foresee(now, PROMPTS[1:], store, ("critique",))) == {"critiques": (1, 1)}


def test_what_another_stage_would_ask_for_is_not_foreseen(store):
    """`verify critique` asks about the answers that are there."""
    now = settings()
    for request in list(Build(now, store).answer_requests(PROMPTS))[:3]:
        store.add(request.key, Reply("Hm.</think>Answer"))

    assert requests(foresee(now, PROMPTS, store, ("critique",))) == {"critiques": (1, 1)}


def test_tokens_are_reckoned_from_lengths(store):
    now = settings()
    _, critiques = foresee(now, PROMPTS, store, BUILD)
    text = len(now.specification.text) + ANSWER_CHARACTERS

    assert 9 * text / BYTES_PER_TOKEN < critiques.read < 9 * (text + 1_000) / BYTES_PER_TOKEN
    assert critiques.written == 9 * 300 and critiques.most_written == 16 * 2048


def test_a_reply_that_nothing_bounds_has_no_most(store):
    _, critiques = foresee(settings("expert.request.max_tokens=null"), PROMPTS, store, BUILD)

    assert critiques.most_written is None and "at the most" not in critiques.line()


def test_a_cost_is_said_where_there_are_prices(store):
    prices = ["expert.price_per_million_input=1e6", "expert.price_per_million_output=0"]
    _, critiques = foresee(settings(*prices), PROMPTS, store, BUILD)

    assert f"cost {critiques.read:,}.00" in critiques.line() and critiques.paid
    assert "cost" not in list(foresee(settings(), PROMPTS, store, BUILD))[1].line()


@pytest.mark.parametrize(
    ("more", "paid"),
    [
        ([], False),
        (["expert.url=null"], False),
        (["expert.url=http://localhost:8000/v1"], False),
        (["expert.url='http://[::1]:8000/v1'"], False),
        (["expert.url=http://10.0.0.2:8000/v1"], True),
        ([AWAY], True),
        (["expert.price_per_million_input=0.1", "expert.price_per_million_output=0"], True),
        ([AWAY, "expert.price_per_million_input=0", "expert.price_per_million_output=0"], False),
    ],
)
def test_who_may_want_to_be_paid(store, more, paid):
    _, critiques = foresee(settings(*more), PROMPTS, store, BUILD)

    assert critiques.paid == paid


@pytest.fixture
def terminal(monkeypatch):
    """A function from what is typed to a terminal in the foreground at which it is typed."""

    def make(typed: str, foreground: bool = True) -> None:
        monkeypatch.setattr(estimate, "_attended", lambda: foreground)
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(readline=lambda: typed))

    return make


@pytest.mark.parametrize(
    ("typed", "goes_on"), [("y\n", True), ("Yes\n", True), ("\n", False), ("", False), ("no", False)]
)
def test_only_a_yes_is_one(store, terminal, typed, goes_on):
    terminal(typed)
    assert confirmed(list(foresee(settings(AWAY), PROMPTS, store, BUILD)), yes=False) == goes_on
    assert confirmed(list(foresee(settings(AWAY), PROMPTS, store, BUILD)), yes=True)


def test_without_anyone_to_ask_nothing_is_asked(store, terminal, capsys):
    terminal("no\n", foreground=False)

    assert confirmed(list(foresee(settings(AWAY), PROMPTS, store, BUILD)), yes=False)
    said = capsys.readouterr().err
    assert "go on?" not in said and "no terminal to ask at, so the command goes on" in said


def test_a_login_in_an_address_is_not_shown(store):
    _, critiques = foresee(settings("expert.url=https://me:sesame@api.example.com/v1"), PROMPTS, store, BUILD)

    assert "sesame" not in critiques.line() and "api.example.com" in critiques.line()


@pytest.mark.parametrize("stdin", [None, SimpleNamespace(isatty=lambda: False)])
def test_a_job_has_no_terminal(monkeypatch, stdin):
    monkeypatch.setattr(sys, "stdin", stdin)

    assert not estimate._attended()
