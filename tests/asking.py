"""Requests and settings for tests that fill a store from a real server."""

from collections.abc import Iterable

from sinternal_verl.hashing import key_of
from sinternal_verl.verify.endpoint_writer import open_writer
from sinternal_verl.verify.fill import Filled, Request, fill
from sinternal_verl.verify.store import Store
from sinternal_verl.verify.writer import WriterSettings


def settings(url: str, **changes) -> WriterSettings:
    values = {
        "model": "expert",
        "url": url,
        "api_key_env": None,
        "request": {"temperature": 0, "max_tokens": 5},
        "concurrency": 8,
        "timeout_s": 5.0,
        "retries": 3,
        "max_requests": None,
        "budget_tokens": None,
        "engine": {},
    }
    return WriterSettings(**values | changes)


def run(wanted: Iterable[Request], store: Store, who: WriterSettings) -> Filled:
    return fill(wanted, 0, store, who.limits, lambda: open_writer(who), "t")


def requests(count: int) -> list[Request]:
    return [
        Request(key_of(number), [{"role": "user", "content": f"Question {number}"}], seed=number)
        for number in range(count)
    ]
