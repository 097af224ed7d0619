"""Answers that are none: of one request, of one kind of prompt, or of a server that gives no other."""

import time
from collections.abc import Callable

import pytest
from aiohttp import web
from asking import requests, run, settings
from experts import Script, chat, playing, refusing

from sinternal_verl.hashing import key_of
from sinternal_verl.verify.fill import FAILURES_IN_A_ROW
from sinternal_verl.verify.rejected import CONTROL
from sinternal_verl.verify.store import Store
from sinternal_verl.verify.unreadable import MAX_UNREADABLE
from sinternal_verl.verify.writer import WriterUnusable


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.sqlite") as opened:
        yield opened


NONE: dict[str, Callable[[], dict | web.Response]] = {
    "a page": lambda: web.Response(text="<html>Log in</html>", content_type="text/html"),
    "nothing": lambda: web.Response(text=""),
    "cut JSON": lambda: web.Response(text='{"choices": [{"message": {"content": "ha'),
    "no choices": lambda: {"choices": []},
    "no text": lambda: chat([{"type": "text", "text": "Hm."}]),
    "no end": lambda: chat("half", None),
    "an unknown end": lambda: chat("half", "error"),
    "an error within 200": lambda: refusing(200),
    "a conflict": lambda: refusing(409),
}
none = pytest.mark.parametrize("made", NONE.values(), ids=NONE)


def asked_for(body) -> int | None:
    word = body["messages"][0]["content"].removeprefix("Question ")
    return int(word) if word.isdigit() else None


def controls(script: Script) -> int:
    return sum(count for (text, _), count in script.asked.items() if text == CONTROL[0]["content"])


@none
@pytest.mark.parametrize("at_once", [1, 64])
def test_a_server_that_only_gives_such_answers_ends_the_run(store, made, at_once):
    with playing(Script(lambda body: made())) as script:
        started = time.monotonic()
        filled = run(requests(1000), store, settings(script.url, retries=0, concurrency=at_once))

    assert f"{script.url}" in filled.stopped and "check url, which ends in /v1, and model" in filled.stopped
    assert "'Please answer with the word yes.', too" in filled.stopped and not filled.complete
    # Each is counted by its kind, and those under way wait until it is settled.
    assert MAX_UNREADABLE <= filled.failures.total() < MAX_UNREADABLE + at_once and len(filled.failures) == 1
    assert controls(script) == 1 and filled.sent == filled.failures.total() + 1
    assert not len(store) and time.monotonic() - started < 20


@none
def test_each_is_tried_again(store, made):
    with playing(Script(lambda body: made() if script.asked["Question 0", 0] < 3 else "whole")) as script:
        filled = run(requests(1), store, settings(script.url))

    assert filled.complete and store.get(key_of(0)).text == "whole" and script.asked["Question 0", 0] == 3


@pytest.mark.parametrize("at_once", [1, 8])
def test_one_kind_of_prompt_does_not_end_the_run(store, at_once):
    """500 prompts, one behind the other, at which the model fails; and these are the first."""

    def reply(body):
        number = asked_for(body)
        return chat("half", "malformed_function_call") if number is not None and number < 500 else "Hm."

    with playing(Script(reply)) as script:
        filled = run(requests(700), store, settings(script.url, retries=0, concurrency=at_once))

    assert filled.stopped == "" and len(store) == 200
    assert filled.failures == {"finish_reason malformed_function_call": 500}
    assert controls(script) <= 500 / MAX_UNREADABLE
    with playing(Script(lambda body: "Hm.")) as script:
        assert run(requests(700), store, settings(script.url)).sent == 500


def test_a_server_that_gives_such_answers_from_now_on_ends_the_run(store):
    """A page to log in stands before it after a while."""
    with playing(Script(lambda body: "Hm." if sum(script.asked.values()) <= 30 else NONE["a page"]())) as script:
        filled = run(requests(1000), store, settings(script.url, retries=0))

    assert "no choices" in filled.stopped and 20 < len(store) <= 30
    assert sum(script.asked.values()) <= 30 + MAX_UNREADABLE + 8 + 1


def test_a_page_that_is_missing_from_now_on_ends_the_run(store):
    with playing(Script(lambda body: "Hm." if sum(script.asked.values()) <= 30 else 404)) as script:
        filled = run(requests(1000), store, settings(script.url, retries=0))

    assert "HTTP 404" in filled.stopped and 20 < len(store) <= 30 and sum(script.asked.values()) < 100


def test_such_answers_and_5xx_by_turns_end_the_run(store):
    with playing(Script(lambda body: 500 if sum(script.asked.values()) % 2 else {})) as script:
        started = time.monotonic()
        filled = run(requests(2000), store, settings(script.url, retries=0))

    assert filled.stopped and sum(script.asked.values()) <= 3 * FAILURES_IN_A_ROW
    assert not len(store) and time.monotonic() - started < 20


def test_a_server_that_goes_while_it_is_settled_ends_the_run(store):
    with playing(Script(lambda body: {} if sum(script.asked.values()) <= MAX_UNREADABLE else 500)) as script:
        filled = run(requests(1000), store, settings(script.url, retries=0, concurrency=1))

    assert filled.stopped.startswith(f"{FAILURES_IN_A_ROW} failures in a row, the last: HTTP 500")


@pytest.mark.parametrize("at_once", [4, 64, 512])
def test_such_answers_beside_rejections_end_the_run(store, at_once):
    """Both wait until it is settled what they are."""

    def reply(body):
        return {} if (asked_for(body) or 0) % 2 else refusing(400, message="no")

    with playing(Script(reply)) as script:
        started = time.monotonic()
        try:
            ended = run(requests(3000), store, settings(script.url, retries=0, concurrency=at_once)).stopped
        except WriterUnusable as error:
            ended = str(error)

    assert ended and not len(store) and time.monotonic() - started < 40


def test_a_control_that_is_rejected_tells_nothing_and_the_run_goes_on(store):
    """It may be longer than a small context."""
    with playing(Script(lambda body: {} if asked_for(body) is not None else refusing(413))) as script:
        filled = run(requests(200), store, settings(script.url, retries=0))

    assert filled.stopped == "" and filled.failures.total() == 200
