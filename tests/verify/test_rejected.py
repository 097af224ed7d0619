"""Requests that can never succeed are stored with their reason; settings under which none can are found early."""

import pytest
from asking import requests, run, settings
from experts import Script, chat, playing, refusing

from sinternal_verl.hashing import key_of
from sinternal_verl.verify.rejected import CONTROL, MAX_HELD
from sinternal_verl.verify.store import Store
from sinternal_verl.verify.writer import WriterUnusable

FILTER = {"code": "content_filter", "message": "The response was filtered"}
UNNAMED = {"message": "Bad Request"}
TOO_LONG = {"code": "context_length_exceeded", "message": "This model's maximum context length is 8 tokens."}


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.sqlite") as opened:
        yield opened


def asked_for(body) -> int | None:
    """The number of the request; None for the control."""
    text = body["messages"][0]["content"]
    return int(text.split()[1]) if text.startswith("Question") else None


@pytest.mark.parametrize(
    ("made", "finish"),
    [
        (lambda: refusing(400, **FILTER), "refused"),
        (lambda: chat(None, "content_filter"), "refused"),
        (lambda: chat(None, refusal="I will not."), "refused"),
        (lambda: refusing(400, **TOO_LONG), "too_long"),
        (lambda: refusing(413), "too_long"),
        (lambda: refusing(400, **UNNAMED), "rejected"),
        (lambda: refusing(422, **UNNAMED), "rejected"),
        (lambda: chat(None, "tool_calls"), "tool_calls"),
    ],
)
def test_one_that_can_never_succeed_is_stored_and_the_others_go_on(store, made, finish):
    with playing(Script(lambda body: made() if body["seed"] == 2 else "Hm.")) as script:
        filled = run(requests(5), store, settings(script.url))
        again = run(requests(5), store, settings(script.url))

    assert filled.complete and len(store) == 5 and store.get(key_of(2)).finish == finish
    assert again.complete and again.sent == 0 and set(script.asked.values()) == {1}
    if finish != "tool_calls":
        assert filled.unanswered == {finish: 1}


@pytest.mark.parametrize("error", [FILTER, UNNAMED, TOO_LONG])
@pytest.mark.parametrize("concurrency", [1, 8, 64])
def test_25_at_the_beginning_are_stored(store, error, concurrency):
    with playing(Script(lambda body: refusing(400, **error) if asked_for(body) < 25 else "Hm.")) as script:
        filled = run(requests(30), store, settings(script.url, concurrency=concurrency))

    assert filled.complete and len(store) == 30 and sum(filled.unanswered.values()) == 25
    assert store.get(key_of(0)).text == error["message"]


def test_a_build_of_which_a_filter_refuses_everything_ends_with_every_reason(store):
    with playing(Script(lambda body: refusing(400, **FILTER))) as script:
        filled = run(requests(MAX_HELD + 50), store, settings(script.url))

    assert filled.complete and filled.unanswered == {"refused": MAX_HELD + 50}


def test_a_parameter_that_the_server_does_not_know_is_found_by_the_first_request(store):
    error = {"message": "'temperature' does not support 0", "param": "temperature", "code": "unsupported_value"}
    said = r"refuses a setting.*does not support 0.*change request\.temperature"
    with playing(Script(lambda body: refusing(400, **error))) as script, pytest.raises(WriterUnusable, match=said):
        run(requests(1000), store, settings(script.url))

    assert sum(script.asked.values()) <= 16 and not len(store)


@pytest.mark.parametrize("error", [UNNAMED, TOO_LONG])
def test_where_every_request_is_rejected_none_is_stored_and_the_run_ends_early(store, error):
    said = f"{error['message']}.*check model, request and prompt"
    with playing(Script(lambda body: refusing(400, **error))) as script, pytest.raises(WriterUnusable, match=said):
        run(requests(10_000), store, settings(script.url, concurrency=64))

    assert sum(script.asked.values()) < MAX_HELD + 64 and not len(store)


def test_where_a_few_are_all_there_is_and_each_is_rejected_none_is_stored(store):
    with playing(Script(lambda body: refusing(400, **UNNAMED))) as script:
        filled = run(requests(3), store, settings(script.url))

    assert not filled.complete and not len(store)
    assert "rejected 3 requests in a row and answered none" in filled.stopped and "Bad Request" in filled.stopped


def test_the_last_few_of_a_build_are_stored_because_the_store_has_an_answer(store):
    """As after a kill: the rest is there, and these three were under way."""
    with playing(Script(lambda body: "Hm.")) as script:
        run(requests(10), store, settings(script.url))
    with playing(Script(lambda body: refusing(400, **UNNAMED))) as script:
        filled = run(requests(13), store, settings(script.url))

    assert filled.complete and len(store) == 13 and filled.unanswered == {"rejected": 3}


def test_answers_that_take_their_time_are_waited_for(store):
    """One in ten is answered, after seconds; the rejections of the others come at once."""
    wanted = 2 * MAX_HELD
    with playing(
        Script(
            lambda body: "Hm." if asked_for(body) % 100 == 0 else refusing(400, **UNNAMED),
            delay_s=lambda body: 2.0 if asked_for(body) % 100 == 0 else 0.0,
        )
    ) as script:
        filled = run(requests(wanted), store, settings(script.url))

    assert filled.complete and len(store) == wanted


def test_many_in_a_row_are_stored_where_the_server_still_answers_with_these_settings(store):
    """500 prompts that are too long, one behind the other, as in a set that is sorted by length."""
    with playing(Script(lambda body: "Hm." if (asked_for(body) or 0) < 10 else refusing(400, **TOO_LONG))) as script:
        filled = run(requests(510), store, settings(script.url))

    assert filled.complete and len(store) == 510 and filled.unanswered == {"too_long": 500}
    assert 1 <= sum(count for (text, _), count in script.asked.items() if text == CONTROL[0]["content"]) <= 2


def test_a_server_that_rejects_everything_from_now_on_ends_the_run(store):
    """It was started anew, with another context: what it rejects since is not stored."""

    def reply(body):
        number = asked_for(body)
        return "Hm." if number is not None and number < 10 else refusing(400, **TOO_LONG)

    with playing(Script(reply)) as script, pytest.raises(WriterUnusable, match=r"rejects .*yes.*, too"):
        run(requests(1000), store, settings(script.url))

    assert 10 <= len(store) < 20 and sum(script.asked.values()) < MAX_HELD + 40


def test_a_limit_of_requests_ends_a_run_that_holds_rejections(store):
    with playing(Script(lambda body: refusing(400, **UNNAMED))) as script:
        filled = run(requests(100), store, settings(script.url, max_requests=20))

    assert filled.stopped.startswith("max_requests") and not len(store)


@pytest.mark.parametrize("reason", ["error", "abort", None, "unheard_of"])
def test_an_answer_that_did_not_end_is_asked_for_again(store, reason):
    def reply(body):
        return chat("half", reason) if sum(script.asked.values()) < 3 else "whole"

    with playing(Script(reply)) as script:
        filled = run(requests(1), store, settings(script.url))

    assert filled.complete and store.get(key_of(0)).text == "whole" and sum(script.asked.values()) == 3


def test_a_page_that_is_missing_for_a_while_is_asked_for_again_and_from_the_start_it_is_a_wrong_address(store):
    with playing(Script(lambda body: 404 if 5 < sum(script.asked.values()) < 9 else "Hm.")) as script:
        assert run(requests(20), store, settings(script.url, concurrency=1)).complete
    with playing(Script(lambda body: 404)) as script, pytest.raises(WriterUnusable, match="check model, and url"):
        run(requests(40), store, settings(script.url))
