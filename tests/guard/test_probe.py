"""Whether there is a guard at an address, by a real HTTP server that is none in each possible way."""

import asyncio
import pickle
import time

import pytest
from aiohttp import web
from servers import serving

from sinternal_verl.guard.backend import check_backend, connect
from sinternal_verl.guard.endpoint import EndpointClient
from sinternal_verl.guard.errors import EndpointFault
from sinternal_verl.guard.probe import check_models
from sinternal_verl.world.guard_model import make_guard_tokenizer

LINES = "Safety: Safe\nCategories: None\nRefusal: No"
SECRET = "k3y-of-the-lighthouse"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("guard")
    make_guard_tokenizer([LINES] * 3).save_pretrained(made)
    return made


@pytest.fixture
def probe(folder):
    """A function from a handler of both paths and settings to the fault that is found, or None."""

    def run(handle, **settings):
        async def scene(url):
            guard = {
                "backend": "openai_endpoint",
                "url": url,
                "engine": {"model": str(folder), "max_model_len": 1024},
                "mode": "decode",
                "request_timeout_s": 1,
                **settings,
            }
            backend = connect(guard)
            try:
                return await check_backend(backend, guard)
            finally:
                await backend.close()

        with serving(handle) as url:
            try:
                return asyncio.run(scene(url))
            except EndpointFault as fault:
                return fault

    return run


def answers(folder, text=LINES, models=None):
    """A handler that lists the guard's model, and completes with ``text``."""

    async def handle(request):
        if request.method == "GET":
            return web.json_response({"data": [{"id": name} for name in models or [str(folder)]]})
        return web.json_response({"choices": [{"text": text}]})

    return handle


def refuses(status, method=None, folder=None):
    """A handler that answers every request, or those of one method, with ``status``."""

    async def handle(request):
        if method in (None, request.method):
            brought = request.headers.get("Authorization", "")
            return web.Response(status=status, text=f"I refuse {brought}")
        return await answers(folder)(request)

    return handle


def wants_key(folder):
    async def handle(request):
        if request.headers.get("Authorization") != f"Bearer {SECRET}":
            return web.Response(status=401, text=f"no: {request.headers.get('Authorization')}")
        return await answers(folder)(request)

    return handle


def test_a_guard_passes(probe, folder):
    assert probe(answers(folder)) is None


@pytest.mark.parametrize(
    ("make", "key", "words"),
    [
        (lambda f: refuses(401), "api_key_env", ["wants a key", "/models", "HTTP 401", "api_key_env=NAME"]),
        (lambda f: refuses(403), "api_key_env", ["HTTP 403"]),
        (lambda f: refuses(401, "POST", f), "api_key_env", ["/completions", "HTTP 401"]),
        (lambda f: refuses(404), "url", ["/models", "HTTP 404", "up to and with /v1"]),
        (lambda f: refuses(404, "POST", f), "served_as", ["/completions", "HTTP 404"]),
        (lambda f: refuses(400, "POST", f), "url", ["HTTP 400", "token ids"]),
        (lambda f: refuses(500), "url", ["HTTP 500", "start the server"]),
        (lambda f: answers(f, models=["a", "b"]), "served_as", ["it serves a, b", "served_as"]),
        (lambda f: answers(f, models=["chat"]), "served_as", ["sinternal.guard.served_as=chat"]),
        (lambda f: answers(f, text="Hello! How can I help?"), "served_as", ["no verdict", "no Safety line"]),
        (lambda f: answers(f, text=""), "served_as", ["no verdict"]),
    ],
)
def test_a_server_that_is_no_guard_is_named_with_the_setting_that_is_wrong(probe, folder, make, key, words):
    fault = probe(make(folder))

    assert fault.key == f"sinternal.guard.{key}"
    assert all(word in str(fault) for word in words), str(fault)


def test_what_lists_no_models_is_named(probe):
    async def page(request):
        return web.Response(text="<html>Welcome</html>", content_type="text/html")

    assert "without a list of models" in probe(page).reason and "Welcome" in probe(page).reason


def test_a_model_that_gives_no_verdict_may_be_measured(probe, folder):
    assert probe(answers(folder, text="Hm."), require_verdict=False) is None


@pytest.mark.parametrize("handle", ["stalls", "nobody"])
def test_a_server_that_does_not_answer_is_named_in_a_bounded_time(probe, folder, monkeypatch, handle):
    monkeypatch.setattr("sinternal_verl.guard.probe.MODELS_TIMEOUT_S", 0.5)

    async def stalls(request):
        await asyncio.sleep(30)
        return web.Response()

    started = time.monotonic()
    fault = probe(stalls) if handle == "stalls" else probe(stalls, url="http://127.0.0.1:9/v1")

    assert (fault.key, fault.later) == ("sinternal.guard.url", True) and "no answer" in fault.reason
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("url", ["localhost:8000/v1", "http://", "no address"])
def test_what_is_no_address_is_not_waited_for(probe, folder, url):
    started = time.monotonic()
    fault = probe(answers(folder), url=url, start_timeout_s=60)

    assert fault.key == "sinternal.guard.url" and not fault.later
    assert time.monotonic() - started < 5


def test_a_server_that_starts_later_is_waited_for(probe, folder):
    begun = time.monotonic()

    async def late(request):
        if time.monotonic() - begun < 2:
            return web.Response(status=503)
        return await answers(folder)(request)

    assert probe(late, start_timeout_s=30, request_timeout_s=0.5) is None
    assert time.monotonic() - begun < 20


def test_a_server_that_has_its_models_and_judges_only_later_is_waited_for(probe, folder):
    begun = time.monotonic()

    async def late(request):
        if request.path.endswith("completions") and time.monotonic() - begun < 2:
            return web.Response(status=503)
        return await answers(folder)(request)

    assert probe(late, start_timeout_s=30, request_timeout_s=0.5) is None
    assert time.monotonic() - begun < 20


def test_the_wait_ends(probe):
    begun = time.monotonic()
    fault = probe(refuses(503), start_timeout_s=2)

    assert "HTTP 503" in fault.reason and "has waited for 2 s" in fault.reason and 1.5 < time.monotonic() - begun < 15


def test_a_key_opens_the_server_and_another_does_not_and_neither_is_shown(probe, folder, monkeypatch):
    monkeypatch.setenv("GUARD_KEY", SECRET)
    assert probe(wants_key(folder), api_key_env="GUARD_KEY") is None

    monkeypatch.setenv("GUARD_KEY", wrong := "another-key-of-mine")
    fault = probe(wants_key(folder), api_key_env="GUARD_KEY")
    assert fault.key == "sinternal.guard.api_key_env" and fault.value == "GUARD_KEY"
    assert "another key" in fault.reason and wrong not in str(fault) and "(the key)" in str(fault)


@pytest.mark.parametrize(
    ("value", "words"), [(None, "not set"), ("", "not set"), ("two words", "blanks"), ("ключ", "blanks")]
)
def test_a_variable_without_a_key_is_named_and_its_value_is_not(folder, monkeypatch, value, words):
    monkeypatch.delenv("GUARD_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("GUARD_KEY", value)
    guard = {"url": "http://h/v1", "engine": {"model": str(folder)}, "api_key_env": "GUARD_KEY"}
    with pytest.raises(EndpointFault, match=words) as caught:
        asyncio.run(check_models(guard))

    assert "GUARD_KEY" in str(caught.value)
    assert not value or value not in str(caught.value)


def test_a_key_in_the_place_of_its_variable_is_not_shown(folder):
    guard = {"url": "http://h/v1", "engine": {"model": str(folder)}, "api_key_env": "sk-1234"}
    with pytest.raises(EndpointFault, match="give the name, not the key") as caught:
        asyncio.run(check_models(guard))

    assert "sk-1234" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "goes"),
    [
        ("http://192.0.2.1:8000/v1", False),
        ("http://0.0.0.0:8000/v1", False),
        ("http://guard.invalid/v1", False),
        ("https://192.0.2.1:8000/v1", True),
        ("http://127.0.0.1:8000/v1", True),
        ("http://localhost:8000/v1", True),
    ],
)
def test_a_key_goes_to_another_machine_over_plain_http_only_where_that_is_said(folder, monkeypatch, url, goes):
    """The rule of `verify`'s models; the key is that of the client that a run makes."""
    monkeypatch.setenv("GUARD_KEY", SECRET)
    guard = {"backend": "openai_endpoint", "url": url, "engine": {"model": str(folder), "max_model_len": 1024}}
    guard |= {"api_key_env": "GUARD_KEY", "mode": "decode"}
    if goes:
        assert EndpointClient.from_config(guard)._api_key == SECRET
        return
    for ask in (EndpointClient.from_config, lambda guard: asyncio.run(check_models(guard))):
        with pytest.raises(EndpointFault, match=r"over plain http.*set api_key_over_http=true") as caught:
            ask(guard)
        assert caught.value.key == "sinternal.guard.api_key_env" and not caught.value.later
        assert SECRET not in str(caught.value) and "ray start" not in str(caught.value)
    assert EndpointClient.from_config(guard | {"api_key_over_http": True})._api_key == SECRET


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_redirect_takes_neither_key_nor_conversation_along(probe, folder, monkeypatch, status, method):
    monkeypatch.setenv("GUARD_KEY", SECRET)
    asked = []

    async def other(request):
        asked.append(request.path)
        return await answers(folder)(request)

    with serving(other) as url:

        async def points(request):
            if request.method != method:
                return await answers(folder)(request)
            return web.Response(status=status, headers={"Location": url})

        fault = probe(points, api_key_env="GUARD_KEY")

    assert fault.key == "sinternal.guard.url" and not fault.later and not asked
    assert f"HTTP {status}: 'it points to {url}'" in fault.reason and "give the address itself" in fault.next_step


def test_a_login_in_the_address_is_a_key_and_is_not_shown(folder):
    guard = {"url": "http://me:sesame@192.0.2.1/v1", "engine": {"model": str(folder)}}
    with pytest.raises(EndpointFault, match="its login would go to") as caught:
        asyncio.run(check_models(guard))

    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda f: refuses(401),
        lambda f: refuses(404),
        lambda f: refuses(500),
        lambda f: refuses(307),
        lambda f: refuses(400, "POST", f),
        lambda f: answers(f, models=["a"]),
        lambda f: answers(f, text="Hm."),
        lambda f: answers(f, text=None),
    ],
)
def test_no_message_shows_a_login_in_the_address(folder, make):
    with serving(make(folder)) as url:
        guard = {"url": url.replace("//", "//me:sesame@"), "engine": {"model": str(folder), "max_model_len": 1024}}
        guard |= {"backend": "openai_endpoint", "mode": "decode", "request_timeout_s": 1}
        fault = asyncio.run(found_at(guard))

    assert "sesame" not in f"{fault!s}{fault!r}{fault.__cause__!r}" and "127.0.0.1" in str(fault)


async def found_at(guard) -> EndpointFault:
    backend = connect(guard)
    try:
        with pytest.raises(EndpointFault) as caught:
            await check_backend(backend, guard)
    finally:
        await backend.close()
    return caught.value


def test_a_fault_travels_between_processes():
    fault = EndpointFault("key", 3, "wrong", "mend it", later=True)
    copy = pickle.loads(pickle.dumps(fault))

    assert str(copy) == str(fault) == "key = 3: wrong; mend it" and copy.later
