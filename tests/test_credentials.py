"""The key of a server: where it is read, and where it is sent to."""

import pytest

from sinternal_verl.credentials import HIDDEN, KeyFault, origin_of, read_key
from sinternal_verl.verify.writer import key_for

SECRET = "sk-of-mine-1234"


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    for name in ("OPENAI_API_KEY", "MY_KEY"):
        monkeypatch.setenv(name, f"{SECRET}-{name}")
    monkeypatch.delenv("NOT_SET", raising=False)


@pytest.mark.parametrize(
    ("url", "named", "sent"),
    [
        # OpenAI's own variable is for OpenAI's own server.
        ("https://api.openai.com/v1", None, "OPENAI_API_KEY"),
        ("https://API.OpenAI.com:443/v1/", None, "OPENAI_API_KEY"),
        ("https://api.openai.com/v1", "MY_KEY", "MY_KEY"),
        ("https://api.openai.com.example.com/v1", None, None),
        ("https://api.openai.com:8443/v1", None, None),
        ("https://api.openai.com@example.com/v1", None, None),
        ("http://api.openai.com/v1", None, None),
        ("https://openrouter.ai/api/v1", None, None),
        ("http://127.0.0.1:8000/v1", None, None),
        # What a user names for a server is sent to it.
        ("https://openrouter.ai/api/v1", "OPENAI_API_KEY", "OPENAI_API_KEY"),
        ("http://127.0.0.1:8000/v1", "MY_KEY", "MY_KEY"),
        ("http://localhost:8000/v1", "MY_KEY", "MY_KEY"),
    ],
)
def test_a_key_goes_to_the_server_that_it_is_named_for(url, named, sent):
    assert key_for(url, named, False) == (sent and f"{SECRET}-{sent}")


@pytest.mark.parametrize("url", ["http://192.0.2.1:8000/v1", "http://0.0.0.0:8000/v1", "http://no-such.invalid/v1"])
def test_plain_http_to_another_machine_gets_the_key_only_where_that_is_said(url):
    with pytest.raises(KeyFault, match=r"over plain http.*api_key_over_http=true") as caught:
        key_for(url, "MY_KEY", False)

    assert SECRET not in str(caught.value)
    assert key_for(url, "MY_KEY", True) == f"{SECRET}-MY_KEY"
    assert key_for(url, None, False) is None


@pytest.mark.parametrize("login", ["me:sesame", "sesame", ":sesame"])
def test_a_login_in_the_address_is_treated_as_a_key_and_not_shown(login):
    with pytest.raises(KeyFault, match="over plain http") as caught:
        key_for(f"http://{login}@192.0.2.1/v1", None, False)
    assert "sesame" not in str(caught.value)
    with pytest.raises(KeyFault, match="give one"):
        key_for(f"https://{login}@host/v1", "MY_KEY", False)


@pytest.mark.parametrize(
    ("name", "value", "shown", "words"),
    [
        ("NOT_SET", None, "NOT_SET", "is not set.*export NOT_SET="),
        ("MY_KEY", " ", "MY_KEY", "is not set"),
        ("MY_KEY", "two words", "MY_KEY", "blanks"),
        ("MY_KEY", "two\nlines", "MY_KEY", "blanks"),
        ("MY_KEY", "ключ", "MY_KEY", "blanks"),
        ("sk-1234", None, HIDDEN, "give the name, not the key"),
        ("MY KEY", None, HIDDEN, "give the name"),
    ],
)
def test_a_variable_that_holds_no_key_is_named_and_its_value_is_not(monkeypatch, name, value, shown, words):
    if value is not None:
        monkeypatch.setenv(name, value)
    with pytest.raises(KeyFault, match=words) as caught:
        read_key(name)

    assert caught.value.shown == shown
    assert (value or "").strip() == "" or value not in str(caught.value)


def test_a_key_is_taken_without_the_blanks_around_it(monkeypatch):
    monkeypatch.setenv("MY_KEY", f" {SECRET}\n")
    assert read_key("MY_KEY") == SECRET and read_key(None) is None


def test_an_origin_is_scheme_host_and_port():
    assert origin_of("https://Host/v1") == origin_of("https://host:443/v2") != origin_of("http://host/v1")
    with pytest.raises(ValueError, match="port"):
        origin_of("http://host:port/v1")
