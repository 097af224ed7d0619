"""Where the client of a server sends the key and the prompts, and where it does not."""

import asyncio
import logging
import socket

import pytest
from aiohttp import web
from asking import requests, run, settings
from experts import Script, chat, playing, refusing

from sinternal_verl.hashing import key_of
from sinternal_verl.verify import endpoint_writer
from sinternal_verl.verify.endpoint_writer import EndpointWriter
from sinternal_verl.verify.store import Store
from sinternal_verl.verify.writer import WriterUnusable

SECRET = "sk-of-mine-1234"


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.sqlite") as opened:
        yield opened


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("MY_KEY", SECRET)


def test_nothing_of_the_environment_is_sent_to_a_server_that_it_was_not_named_for(store, monkeypatch, tmp_path):
    """Each of these is a header of every request of OpenAI's client, or of aiohttp's with ``trust_env``."""
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID"):
        monkeypatch.setenv(f"OPENAI_{name}", SECRET)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"X-Mine: {SECRET}")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    (tmp_path / "netrc").write_text(f"default login me password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with playing(Script(lambda body: "Hm.")) as script:
        run(requests(1), store, settings(script.url))

    assert len(script.headers) == 1
    assert "Authorization" not in script.headers[0] and SECRET not in str(script.headers)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_neither_key_nor_prompt_along(store, key, status):
    with playing(Script(lambda body: "Hm.")) as other:
        headers = {"Location": f"{other.url}/chat/completions"}
        said = f"HTTP {status} points to {other.url}.*not followed; give it"
        redirect = Script(lambda body: web.Response(status=status, headers=headers))
        with playing(redirect) as script, pytest.raises(WriterUnusable, match=said):
            run(requests(20), store, settings(script.url, api_key_env="MY_KEY"))

    assert not other.asked and script.headers[0]["Authorization"] == f"Bearer {SECRET}"


def test_this_machines_own_server_is_asked_without_the_proxy(store, key, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    with playing(Script(lambda body: "Hm.")) as script:
        assert run(requests(1), store, settings(script.url, api_key_env="MY_KEY")).complete


def test_another_machine_is_asked_through_the_proxy_of_the_environment(store, monkeypatch):
    """A proxy gets the whole address as the path. Here it is a server that plays the other machine, too."""
    with playing(Script(lambda body: "Hm.")) as script:
        proxy = script.url.removesuffix("/v1")
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        filled = run(requests(1), store, settings("http://far.invalid/v1"))
        assert filled.complete and script.headers[0]["Host"] == "far.invalid"
        monkeypatch.setenv("no_proxy", "far.invalid")
        assert not run(requests(2), store, settings("http://far.invalid/v1", retries=0)).complete


def test_a_key_over_plain_http_is_refused_before_a_connection(key, monkeypatch):
    monkeypatch.setattr(endpoint_writer.aiohttp, "ClientSession", None)
    with pytest.raises(WriterUnusable, match="over plain http"):
        EndpointWriter(settings("http://192.0.2.1/v1", api_key_env="MY_KEY"))


@pytest.mark.parametrize(
    "made",
    [
        lambda: refusing(400, message=f"Incorrect API key provided: {SECRET}"),
        lambda: refusing(401, message=f"Incorrect API key provided: {SECRET}"),
        lambda: refusing(402, message=f"{SECRET} owes us"),
        lambda: refusing(500, message=f"no such key: {SECRET}"),
        lambda: refusing(429, {"Retry-After": "9999"}, message=f"{SECRET} is too fast"),
        lambda: chat(SECRET, "error"),
        lambda: {"key": SECRET},
        lambda: web.Response(status=307, headers={"Location": f"https://other/?key={SECRET}"}),
    ],
)
def test_no_message_log_or_stored_reply_shows_the_key(tmp_path, key, made, caplog, capsys):
    caplog.set_level(logging.DEBUG)

    def reply(body):
        return "Hm." if body["seed"] == 0 else made()

    with playing(Script(reply)) as script, Store(tmp_path / "store.sqlite") as store:
        said = ""
        try:
            filled = run(requests(3), store, settings(script.url, api_key_env="MY_KEY", retries=0, concurrency=1))
            said = f"{filled.failures}{filled.last_failure}{filled.stopped}"
        except WriterUnusable as error:
            said = str(error)
        kept = [store.get(key_of(number)) for number in range(3)]

    assert script.headers[0]["Authorization"] == f"Bearer {SECRET}"
    assert SECRET not in f"{said}{kept}{caplog.text}{capsys.readouterr()}"


def test_a_login_in_the_address_is_not_shown(store):
    filled = run(requests(1), store, settings("http://me:sesame@127.0.0.1:1/v1", retries=0))

    assert filled.failures == {"ClientConnectorError": 1} and "sesame" not in filled.last_failure


def test_a_server_gets_the_values_of_a_template_under_its_own_name(store):
    values = {"enable_thinking": False, "reasoning_effort": None}
    with playing(Script(lambda body: "Hm.")) as script:
        run(requests(1), store, settings(script.url, apply_chat_template_kwargs=values))
        run(requests(2), store, settings(script.url, apply_chat_template_kwargs={"enable_thinking": None}))

    assert script.bodies[0]["chat_template_kwargs"] == {"enable_thinking": False}
    assert "chat_template_kwargs" not in script.bodies[1] and "apply_chat_template_kwargs" not in str(script.bodies)


def test_a_server_that_takes_no_such_values_ends_the_run_and_the_setting_is_named(store):
    said = {"message": "Unknown parameter: 'chat_template_kwargs'.", "param": "chat_template_kwargs"}
    script = Script(lambda body: refusing(400, code="unknown_parameter", **said))
    with playing(script), pytest.raises(WriterUnusable, match="leave apply_chat_template_kwargs out"):
        run(requests(20), store, settings(script.url, apply_chat_template_kwargs={"enable_thinking": False}))


def test_an_address_keeps_its_query(store):
    """As Azure's ``api-version``."""
    seen = []

    async def write(url):
        writer = EndpointWriter(settings(url))
        seen.append(str(writer._url))
        await writer.close()

    for url in ("http://h/openai/deployments/d?api-version=2024-10-21", "http://h:8000/v1/", "http://h/v1"):
        asyncio.run(write(url))

    assert seen[0] == "http://h/openai/deployments/d/chat/completions?api-version=2024-10-21"
    assert seen[1:] == ["http://h:8000/v1/chat/completions", "http://h/v1/chat/completions"]


@pytest.mark.parametrize(
    ("url", "kind"), [("http://127.0.0.1:1/v1", "ClientConnectorError"), ("http://no-such.invalid/v1", "Client")]
)
def test_a_server_that_is_not_there_is_a_failure(store, url, kind):
    filled = run(requests(1), store, settings(url, retries=1))

    assert len(filled.failures) == 1 and kind in next(iter(filled.failures)) and url in filled.last_failure


def test_a_connection_that_breaks_within_the_answer_is_tried_again(store):
    """The first two answers are cut off, one in the body and one before the header."""
    came = []

    async def serve(reader, writer):
        came.append(await reader.readuntil(b"\r\n\r\n"))
        if len(came) == 1:
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"choices"')
        elif len(came) > 2:
            text = web.json_response(chat("Hm.")).text.encode()
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
        await writer.drain()
        writer.close()

    async def ask(port):
        server = await asyncio.start_server(serve, "127.0.0.1", port)
        writer = EndpointWriter(settings(f"http://127.0.0.1:{port}/v1"))
        try:
            return await writer.write([{"role": "user", "content": "Question"}], None)
        finally:
            await writer.close()
            server.close()

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert asyncio.run(ask(port)).text == "Hm." and len(came) == 3


def test_an_answer_that_drips_is_bounded_by_the_time_of_a_try(store):
    async def drip(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100):
            await response.write(b" ")
            await asyncio.sleep(0.1)
        return response

    class Dripping(Script):
        async def __call__(self, request):
            return await drip(request)

    with playing(Dripping(lambda body: "")) as script:
        filled = run(requests(1), store, settings(script.url, timeout_s=0.5, retries=0))

    assert filled.failures == {"timeout": 1}
