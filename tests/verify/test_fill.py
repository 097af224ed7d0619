"""Many requests against a real server: none twice, retries where they help, bounds where they are set."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from asking import requests, run, settings
from experts import Script, chat, playing, refusing

from sinternal_verl.hashing import key_of
from sinternal_verl.verify.budget import TEMPLATE_TOKENS, Limits, Spend
from sinternal_verl.verify.endpoint_writer import open_writer
from sinternal_verl.verify.fill import FAILURES_IN_A_ROW, Request, fill
from sinternal_verl.verify.reading import MAX_UNREADABLE, Reading
from sinternal_verl.verify.store import Reply, Store
from sinternal_verl.verify.writer import WriterUnusable


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.sqlite") as opened:
        yield opened


def test_every_reply_is_stored_and_none_is_asked_for_twice(store):
    with playing(Script(lambda body: f"Re: {body['messages'][0]['content']}")) as script:
        first = run(requests(20), store, settings(script.url))
        second = run(requests(30), store, settings(script.url))

    assert (first.sent, first.there, second.sent, second.there) == (20, 0, 10, 20)
    assert set(script.asked.values()) == {1} and len(script.asked) == 30
    assert store.get(key_of(7)).text == "Re: Question 7"
    assert first.tokens == 20 * 110 and second.complete


def test_what_is_sent(store, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sesame")
    with playing(Script(lambda body: "Hm.")) as script:
        run(requests(1), store, settings(script.url, api_key_env="MY_KEY"))

    assert script.bodies == [
        {
            "model": "expert",
            "messages": [{"role": "user", "content": "Question 0"}],
            "temperature": 0,
            "max_tokens": 5,
            "seed": 0,
        }
    ]
    assert script.headers[0]["Authorization"] == "Bearer sesame"


def test_as_many_at_a_time_as_is_said(store):
    with playing(Script(lambda body: "Hm.", delay_s=0.1)) as script:
        run(requests(40), store, settings(script.url, concurrency=7))

    assert script.most_at_once == 7


def test_one_request_in_two_places_is_asked_once(store):
    with playing(Script(lambda body: "Hm.", delay_s=0.1)) as script:
        filled = run([*requests(3), *requests(3)], store, settings(script.url))

    assert filled.complete and sum(script.asked.values()) == 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_refuses_for_now_is_asked_again(store, status):
    def reply(body):
        key = body["messages"][0]["content"], body["seed"]
        return status if script.asked[key] < 3 else "Hm."

    with playing(Script(reply)) as script:
        filled = run(requests(5), store, settings(script.url))

    assert filled.complete and set(script.asked.values()) == {3}


def test_a_server_that_stalls_is_asked_again_and_then_counted(store):
    with playing(Script(lambda body: "Hm.", delay_s=30)) as script:
        started = time.monotonic()
        filled = run(requests(1), store, settings(script.url, timeout_s=0.3, retries=1))

    assert time.monotonic() - started < 10
    assert filled.failures == {"timeout": 1} and set(script.asked.values()) == {2}


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "by api_key_env"), (403, "by api_key_env"), (404, "check model"), (402, "quota is used up")],
)
def test_what_no_request_will_survive_ends_at_once(store, status, words):
    with playing(Script(lambda body: status)) as script, pytest.raises(WriterUnusable, match=words):
        run(requests(1000), store, settings(script.url))

    assert sum(script.asked.values()) <= 16


def test_a_server_that_dies_half_way_ends_the_run_and_the_rest_is_asked_for_later(store):
    alive = Script(lambda body: 500 if sum(alive.asked.values()) > 30 else "Hm.")
    with playing(alive) as script:
        filled = run(requests(500), store, settings(script.url, retries=0))
        came = len(store)
    assert "failures in a row" in filled.stopped and 20 < came <= 30
    assert filled.sent < came + FAILURES_IN_A_ROW + 16

    with playing(Script(lambda body: "Hm.")) as script:
        again = run(requests(500), store, settings(script.url))
    assert again.complete and (again.there, again.sent) == (came, 500 - came)


def test_failures_with_a_reply_between_them_are_no_row_of_failures(store):
    """63 fail, one is answered, 63 fail: the server is there."""
    with playing(Script(lambda body: "Hm." if body["seed"] % FAILURES_IN_A_ROW == 63 else 500)) as script:
        filled = run(requests(3 * FAILURES_IN_A_ROW), store, settings(script.url, concurrency=1, retries=0))

    assert filled.stopped == "" and len(store) == 3
    assert filled.failures == {"HTTP 500": 3 * FAILURES_IN_A_ROW - 3}


def test_as_many_failures_in_a_row_as_is_said_end_the_run(store):
    with playing(Script(lambda body: 500)) as script:
        filled = run(requests(2 * FAILURES_IN_A_ROW), store, settings(script.url, concurrency=1, retries=0))

    assert filled.sent == FAILURES_IN_A_ROW
    assert filled.stopped.startswith(f"{FAILURES_IN_A_ROW} failures in a row, the last: HTTP 500: ")
    assert not filled.complete


@pytest.mark.parametrize(("limit", "most"), [({"max_requests": 10}, 10), ({"budget_tokens": 1_300}, 10)])
def test_a_limit_ends_the_run_and_the_next_goes_on(store, limit, most):
    with playing(Script(lambda body: "Hm.")) as script:
        filled = run(requests(50), store, settings(script.url, **limit))
        (name,) = limit
        assert filled.stopped.startswith(name) and 10 <= filled.sent <= most
        assert len(store) == filled.sent
        assert run(requests(50), store, settings(script.url)).complete

    assert set(script.asked.values()) == {1}


def test_a_limit_that_is_enough_is_none(store):
    with playing(Script(lambda body: "Hm.")) as script:
        assert run(requests(10), store, settings(script.url, max_requests=10)).complete


@pytest.mark.parametrize(
    ("body", "text", "thought", "finish"),
    [
        (chat("Hm."), "Hm.", "", "stop"),
        (chat("Hm.", "length"), "Hm.", "", "length"),
        (chat(None, "content_filter"), "", "", "refused"),
        (chat(None, refusal="I will not."), "I will not.", "", "refused"),
        (chat("No.", reasoning_content="The lamp."), "No.", "The lamp.", "stop"),
        (chat("No.", reasoning="The lamp."), "No.", "The lamp.", "stop"),
        (chat("half \ud83d pair"), "half � pair", "", "stop"),
    ],
)
def test_what_a_message_may_hold(store, body, text, thought, finish):
    with playing(Script(lambda _: body)) as script:
        run(requests(1), store, settings(script.url))

    reply = store.get(key_of(0))
    assert (reply.text, reply.thought, reply.finish) == (text, thought, finish)


def test_memory_does_not_grow_with_the_requests(tmp_path: Path):
    """Requests are taken as they are sent: after a stop, most were never made."""
    made = 0

    def stream():
        nonlocal made
        for request in requests(10_000):
            made += 1
            yield request

    with playing(Script(lambda body: "Hm.")) as script, Store(tmp_path / "s") as store:
        run(stream(), store, settings(script.url, max_requests=20))

    assert made <= 30


def judged(verdicts: dict[str, str]) -> Script:
    """A server that judges by the content of a message."""
    return Script(lambda body: verdicts[body["messages"][0]["content"]])


def chained(*texts: str) -> Request:
    """Requests of which each is the fallback of the one before it."""
    first = None
    for text in reversed(texts):
        first = Request(key_of(text), [{"role": "user", "content": text}], fallback=first)
    return first


VERDICT, NONE = "It lends.\nVerdict: unsafe", "It lends."


def test_a_fallback_is_asked_where_there_is_no_verdict_and_no_further(store):
    with playing(judged({"a": NONE, "b": NONE, "c": VERDICT, "d": VERDICT, "e": VERDICT})) as script:
        filled = run([chained("a", "b", "c", "d"), chained("e", "d")], store, settings(script.url))
        again = run([chained("a", "b", "c", "d"), chained("e", "d")], store, settings(script.url))

    assert {text for text, _ in script.asked} == {"a", "b", "c", "e"}
    assert (filled.sent, again.sent, again.there) == (4, 0, 2) and filled.complete


def test_a_run_that_was_ended_goes_on_at_the_fallback(store):
    with playing(judged({"a": NONE, "b": VERDICT})) as script:
        run([chained("a", "b")], store, settings(script.url, max_requests=1))
        filled = run([chained("a", "b")], store, settings(script.url))

    assert set(script.asked.values()) == {1} and filled.sent == 1 and filled.complete


def test_fallbacks_do_not_hold_up_the_others(store):
    """40 prompts of 4 answers, of which the last has a verdict: 160 requests, 8 at a time, take 20 rounds."""
    verdicts = {f"{n}/{k}": VERDICT if k == 3 else NONE for n in range(40) for k in range(4)}
    script = judged(verdicts)
    script.delay_s = 0.1
    with playing(script):
        started = time.monotonic()
        filled = run([chained(*(f"{n}/{k}" for k in range(4))) for n in range(40)], store, settings(script.url))

    assert filled.sent == 160 and script.most_at_once == 8
    assert time.monotonic() - started < 2 * 160 / 8 * 0.1


def test_a_budget_is_kept_however_many_are_in_flight(store):
    """A reply takes 100 to 200 tokens, of which 200 are set aside, beside the prompt's."""

    def reply(body):
        usage = {"prompt_tokens": 10, "completion_tokens": 100 + body["seed"] % 101}
        return chat("Hm.") | {"usage": usage}

    with playing(Script(reply, delay_s=0.02)) as script:
        who = settings(script.url, concurrency=64, budget_tokens=20_000, request={"max_tokens": 200})
        filled = run(requests(1_000), store, who)

    # It ends when a request of the longest kind has no room any more, and not before.
    assert 20_000 - 210 - TEMPLATE_TOKENS - 20 < filled.tokens <= 20_000
    assert filled.stopped.startswith("budget_tokens=20,000 has no room") and script.most_at_once > 30


def test_a_server_that_counts_more_than_is_possible_is_believed(store):
    """Hidden thoughts cost 1,000 tokens a reply, and 266 were set aside: at most the first are beyond the budget."""
    usage = {"prompt_tokens": 10, "completion_tokens": 1_000}
    with playing(Script(lambda body: chat("Hm.") | {"usage": usage})) as script:
        filled = run(requests(100), store, settings(script.url, concurrency=2, budget_tokens=10_000))

    assert filled.tokens <= 10_000 + 1_010 and filled.stopped.startswith("budget_tokens")


def test_what_a_failed_request_cost_is_counted_where_the_server_says_so(store):
    usage = {"prompt_tokens": 70, "completion_tokens": 7}
    with playing(Script(lambda body: {"choices": [], "usage": usage} if body["seed"] else chat("Hm."))) as script:
        filled = run(requests(3), store, settings(script.url, retries=1))

    # Each of two tries costs.
    assert filled.failures.total() == 2 and (filled.read, filled.written) == (100 + 2 * 2 * 70, 10 + 2 * 2 * 7)


PER_TRY = len("Question 0") + TEMPLATE_TOKENS + 5
"""What is set aside for a request of these tests."""


@pytest.mark.parametrize("at_once", [1, 8])
def test_a_try_that_timed_out_counts_as_what_was_set_aside_for_it(store, at_once):
    """The server may have written all of them, and the budget is kept all the same."""
    budget = 10 * PER_TRY
    with playing(Script(lambda body: "Hm.", delay_s=30)) as script:
        who = settings(script.url, timeout_s=0.2, retries=2, concurrency=at_once, budget_tokens=budget)
        filled = run(requests(100), store, who)

    tries = sum(script.asked.values())
    assert (filled.lost, filled.tokens) == (tries, 0) and filled.presumed <= budget < filled.presumed + PER_TRY + 20
    assert filled.stopped.startswith(f"budget_tokens={budget:,} has no room")
    said = f"{tries} tries whose tokens nobody counted, for which the budget counts {filled.presumed:,}"
    assert said in filled.stopped


def test_a_try_that_timed_out_counts_although_the_next_one_is_answered(store):
    with playing(Script(lambda body: "Hm.", delay_s=lambda body: 30 * (sum(script.asked.values()) == 1))) as script:
        filled = run(requests(1), store, settings(script.url, timeout_s=0.3, budget_tokens=10_000))

    assert filled.complete and (filled.lost, filled.presumed, filled.tokens) == (1, PER_TRY, 110)
    assert store.get(key_of(0)).read == 100


@pytest.mark.parametrize("at_once", [1, 8])
def test_repeated_tries_that_cost_what_the_server_tells_do_not_go_beyond_the_budget(store, at_once):
    usage = {"prompt_tokens": 100, "completion_tokens": 50}
    budget, pauses = 12 * PER_TRY, {"MIN_PAUSE_S": 0.01, "MAX_PAUSE_S": 0.01}
    with playing(Script(lambda body: {"choices": [], "usage": usage})) as script, pytest.MonkeyPatch.context() as patch:
        for name, value in pauses.items():
            patch.setattr(f"sinternal_verl.verify.endpoint_writer.{name}", value)
        filled = run(requests(30), store, settings(script.url, concurrency=at_once, budget_tokens=budget, retries=20))

    assert filled.tokens == 150 * sum(script.asked.values()) <= budget < filled.tokens + PER_TRY + 20
    assert filled.stopped.startswith("budget_tokens")


def test_a_reply_is_stored_with_its_own_tokens_and_not_with_those_of_earlier_tries(store):
    usage = {"prompt_tokens": 100, "completion_tokens": 50}
    first = {"choices": [], "usage": usage}
    with playing(Script(lambda body: first if sum(script.asked.values()) == 1 else chat("Hm."))) as script:
        filled = run(requests(1), store, settings(script.url))

    assert (store.get(key_of(0)).read, store.get(key_of(0)).written) == (100, 10)
    assert (filled.read, filled.written) == (200, 60)


def aborted(body) -> web.StreamResponse:
    """An answer that is cut off, so that the connection is broken."""
    return web.Response(body=b"{", headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize(
    ("reply", "lost"),
    [
        (lambda body: 500, 0),
        (lambda body: 503, 0),
        (lambda body: 504, 2),
        (lambda body: 524, 2),
        (lambda body: {"choices": []}, 2),
        (lambda body: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}, 0),
        (lambda body: web.Response(text='{"choices": [{"mess'), 2),
        (lambda body: aborted(body), 2),
        (lambda body: refusing(200, message="upstream"), 0),
        (lambda body: refusing(400, message="no"), 0),
    ],
)
def test_which_tries_may_have_cost_what_nobody_told(store, reply, lost):
    with playing(Script(reply)) as script:
        filled = run(requests(1), store, settings(script.url, retries=1, budget_tokens=10_000))

    assert (filled.lost, filled.presumed) == (lost, lost * PER_TRY)


def test_without_a_connection_nothing_was_sent_and_nothing_is_counted(store):
    filled = run(requests(1), store, settings("http://127.0.0.1:1/v1", retries=1, budget_tokens=10_000))

    assert filled.failures and filled.lost == 0


def test_a_server_that_counts_no_tokens_does_not_go_beyond_the_budget(store):
    with playing(Script(lambda body: chat("Hm.") | {"usage": None})) as script:
        filled = run(requests(100), store, settings(script.url, budget_tokens=10 * PER_TRY + 20))

    assert filled.stopped.startswith("budget_tokens") and filled.sent == len(store) == 10


def test_without_a_budget_such_tries_are_told(store):
    with playing(Script(lambda body: chat("Hm.") | {"usage": None})) as script:
        filled = run(requests(3), store, settings(script.url))

    assert filled.complete and (filled.lost, filled.presumed) == (3, 0)


def test_what_the_model_writes_is_stored_although_the_key_is_in_it(store, monkeypatch):
    for key, text in (("content", "content"), ("EMPTY", "if (EMPTY) then"), ("sk-12345678", "my sk-12345678")):
        monkeypatch.setenv("MY_KEY", key)
        (request,) = requests(1)
        with playing(Script(lambda body, text=text: text)) as script:
            asked = replace(request, key=key.encode())
            assert run([asked], store, settings(script.url, api_key_env="MY_KEY")).complete
        assert store.get(asked.key).text == text


def test_a_403_of_one_request_is_its_answer_and_a_403_of_all_is_the_keys(store):
    """A filter on the way answers one request with 403, and this one is the first to be asked."""
    with playing(Script(lambda body: 403 if body["messages"][0]["content"] == "Question 0" else "Hm.")) as script:
        filled = run(requests(3), store, settings(script.url, concurrency=1))

    assert filled.complete and filled.unanswered == {"rejected": 1} and len(store) == 3


def test_a_budget_grows_by_what_one_request_took_beyond_it_however_many_are_in_flight(store):
    spend = Spend(Limits(64, budget_tokens=1_000_000, longest_reply=100))
    reserved = [spend.reserve([{"content": "x"}]) for _ in range(64)]
    for each in reserved:
        spend.settle(each, 50, 3_100)

    assert spend.reserve([{"content": "x"}]).tokens < 3_500


@pytest.mark.parametrize("usage", [None, {}, "many", {"prompt_tokens": None}, {"prompt_tokens": "5"}, [1]])
def test_a_server_that_says_no_sound_number_counts_nothing(store, usage):
    with playing(Script(lambda body: chat("Hm.") | {"usage": usage})) as script:
        filled = run(requests(1), store, settings(script.url))

    assert filled.complete and filled.tokens == 0


def test_an_answer_may_begin_with_a_byte_order_mark(store):
    text = b"\xef\xbb\xbf" + json.dumps(chat("Hm.")).encode()
    with playing(Script(lambda body: web.Response(body=text, content_type="application/json"))) as script:
        assert run(requests(1), store, settings(script.url)).complete


def test_a_reply_that_no_store_takes_ends_the_run_and_nobody_waits_for_it(store, monkeypatch):
    """Such as a number beyond those of SQLite, which is no error of SQLite's."""
    monkeypatch.setattr("sinternal_verl.verify.outcome.MAX_COUNT", 10**40)
    usage = {"prompt_tokens": 10**30, "completion_tokens": 1}
    with playing(Script(lambda body: chat("Hm.") | {"usage": usage})) as script, pytest.raises(OverflowError):
        run(requests(10), store, settings(script.url))


@pytest.mark.parametrize(("unreadable", "ends"), [(MAX_UNREADABLE - 1, False), (MAX_UNREADABLE, True)])
def test_a_run_whose_critiques_have_no_verdict_ends(store, unreadable, ends):
    reading = Reading()
    script = Script(lambda body: NONE if body["seed"] < unreadable else VERDICT)
    with playing(script):
        who = settings(script.url, concurrency=1)
        filled = fill(requests(200), 200, store, who.limits, lambda: open_writer(who), "t", reading=reading)

    assert filled.sent == (MAX_UNREADABLE if ends else 200)
    assert filled.stopped.startswith("none of the first 50 critiques has a verdict (50 x no verdict)") == ends


def test_refusals_say_nothing_of_the_form_and_cut_critiques_name_their_length(store):
    def run_of(body):
        reading = Reading()
        script = Script(lambda _: body)
        with playing(script):
            who = settings(script.url, concurrency=1)
            return fill(requests(80), 80, store, who.limits, lambda: open_writer(who), "t", reading=reading)

    assert run_of(chat(None, refusal="I will not.")).complete
    reading = Reading()
    for reply in (Reply("", finish="refused"), Reply(VERDICT), Reply(NONE)):
        reading.add(reply)
    assert str(reading) == "33% with a verdict" and reading.faults == {"no verdict": 1}
    store._connection.execute("DELETE FROM replies")
    assert "raise expert.request.max_tokens" in run_of(chat("It lends", "length")).stopped
