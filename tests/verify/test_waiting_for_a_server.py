"""A server that asks to wait (429) is waited for: by all, longer each time, as long as it asks, and not for ever."""

import asyncio
import time
from email.utils import formatdate

import pytest
from asking import requests, run, settings
from experts import Script, playing, refusing

from sinternal_verl.verify import patience
from sinternal_verl.verify.store import Reply, Store
from sinternal_verl.verify.writer import WriterBusy, WriterUnusable


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.sqlite") as opened:
        yield opened


class Limited:
    """A server that answers ``each`` requests and then asks to wait, until ``pause_s`` later."""

    def __init__(self, each: int, pause_s: float, headers=lambda s: {}):
        self.each, self.pause_s, self.headers = each, pause_s, headers
        self.answered, self.until, self.refused = 0, 0.0, []

    def __call__(self, body):
        now = time.time()
        if self.answered >= self.each and self.until < now:
            if self.until:
                self.answered = self.until = 0
            else:
                self.until = now + self.pause_s
        if self.until:
            self.refused.append(now)
            return refusing(429, self.headers(self.until - now))
        self.answered += 1
        return "Hm."


@pytest.mark.parametrize(
    "headers",
    [
        lambda s: {"Retry-After": f"{s:.3f}"},
        lambda s: {"retry-after-ms": f"{1000 * s:.0f}", "Retry-After": "900"},
        # A date has whole seconds.
        lambda s: {"Retry-After": formatdate(time.time() + s + 1, usegmt=True)},
    ],
)
def test_all_workers_wait_as_long_as_the_server_asks(store, headers):
    limited = Limited(10, 2.0, headers)
    with playing(Script(limited)) as script:
        filled = run(requests(20), store, settings(script.url))

    assert filled.complete and len(store) == 20 and filled.sent == 20
    # One refusal for each of the eight at most: none of them asks again before its time.
    assert 1 <= len(limited.refused) <= 8 and max(limited.refused) - min(limited.refused) < 1
    assert 1.5 < filled.waited_s < 4


def test_waits_grow_where_the_server_does_not_say_how_long_and_begin_anew_after_a_reply(store):
    limited = Limited(5, 3.0)
    with playing(Script(limited)) as script:
        filled = run(requests(10), store, settings(script.url, concurrency=1))

    gaps = [after - before for before, after in zip(limited.refused, limited.refused[1:], strict=False)]
    assert filled.complete and len(gaps) == 2
    assert 0.5 <= gaps[0] < 0.8 and 1.0 <= gaps[1] < 1.4


def test_a_reply_that_was_under_way_when_a_pause_began_leaves_the_growth_to_those_after_it(monkeypatch):
    """Each of four pauses meets such a reply, and one after it: none of them grows."""
    monkeypatch.setattr(patience, "MIN_PAUSE_S", 0.1)

    class Scripted:
        async def write(self, messages, seed, cost):
            if messages == "busy" and not self.refused:
                self.refused = True
                raise WriterBusy("HTTP 429")
            await asyncio.sleep(0.05 if messages == "under way" else 0)
            return Reply("Hm.")

    async def ask_all():
        writer, shown = Scripted(), []
        asking = patience.Patience(writer, 60, shown.append)
        for _ in range(4):
            writer.refused = False
            await asyncio.gather(asking.ask("under way", None), asking.ask("busy", None))
        return asking.waited_s, shown

    waited_s, shown = asyncio.run(ask_all())
    assert waited_s == pytest.approx(0.4, abs=0.01)
    assert shown == ["waits 0.1 s for HTTP 429, 0 of 60 s so far", ""] * 4


def test_429_is_no_failure_however_often_it_comes(store, monkeypatch):
    """More than 64 in a row, and a try of each is all that the settings allow."""
    monkeypatch.setattr(patience, "MAX_PAUSE_S", 0.5)
    with playing(Script(lambda body: refusing(429) if sum(script.asked.values()) < 70 else "Hm.")) as script:
        filled = run(requests(40), store, settings(script.url, concurrency=32, retries=0))

    assert filled.complete and not filled.failures and len(store) == 40 and filled.sent == 40


def test_patience_ends_with_what_to_do_and_keeps_what_came(store):
    limited = Limited(10, 600)
    with playing(Script(limited)) as script:
        started = time.monotonic()
        with pytest.raises(WriterUnusable, match=r"patience_s=2 is the most.*HTTP 429.*lower concurrency"):
            run(requests(20), store, settings(script.url, patience_s=2))

    assert 1.5 < time.monotonic() - started < 6 and len(store) == 10


def test_a_wait_longer_than_patience_is_not_begun(store):
    with playing(Script(lambda body: refusing(429, {"Retry-After": "3600"}))) as script:
        started = time.monotonic()
        with pytest.raises(WriterUnusable, match="asks to wait 3,600 s, and patience_s=60"):
            run(requests(20), store, settings(script.url, patience_s=60))

    assert time.monotonic() - started < 5


def test_a_quota_that_is_used_up_ends_at_once_and_replies_under_way_are_kept(store):
    """The slow ones are paid for. Those that wait for their turn are not."""

    def answer(body):
        if body["seed"] < 8:
            return "Hm."
        return refusing(429, code="insufficient_quota", message="You exceeded your current quota")

    with playing(Script(answer, delay_s=lambda body: 0.5 if body["seed"] < 8 else 0.0)) as script:
        started = time.monotonic()
        with pytest.raises(WriterUnusable, match=r"quota is used up.*exceeded your current quota.*raise it"):
            run(requests(1000), store, settings(script.url, concurrency=9))

    assert time.monotonic() - started < 5 and len(store) == 8 and sum(script.asked.values()) <= 18


def test_the_progress_bar_says_that_it_waits_and_how_long(store, capsys):
    with playing(Script(Limited(5, 1.0, lambda s: {"Retry-After": f"{s:.3f}"}))) as script:
        run(requests(10), store, settings(script.url, concurrency=1))

    said = capsys.readouterr().err
    assert "waits 1 s for HTTP 429, 0 of 900 s so far" in said
    assert "waits" not in said.rpartition("\r")[2]


def test_a_failing_server_that_says_when_to_come_back_is_asked_then(store):
    times = []

    def reply(body):
        times.append(time.monotonic())
        return refusing(503, {"Retry-After": "1.5"}) if len(times) == 1 else "Hm."

    with playing(Script(reply)) as script:
        assert run(requests(1), store, settings(script.url)).complete

    assert 1.4 < times[1] - times[0] < 3
