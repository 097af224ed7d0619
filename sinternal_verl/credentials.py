"""The key of a server, and where it may go. Settings name the environment variable that holds it, so that no
configuration, log or message shows the key itself."""

import ipaddress
import os
import re
import socket
from urllib.parse import urlsplit

HIDDEN = "(the key)"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VALUE = re.compile(r"[!-~]+")


class KeyFault(ValueError):
    """A setting names no key that can be sent.

    Attributes:
        shown: what a message may show of the setting.
        reason, next_step: what is wrong, and what to do.
    """

    def __init__(self, shown: str | None, reason: str, next_step: str) -> None:
        super().__init__(shown, reason, next_step)
        self.shown, self.reason, self.next_step = shown, reason, next_step

    def __str__(self) -> str:
        return f"{self.shown}: {self.reason}; {self.next_step}"


def read_key(name: str | None) -> str | None:
    """The key in the environment variable ``name``; None where no variable is named.

    Raises:
        KeyFault: the variable is not set, or what it holds is no key.
    """
    if name is None:
        return None
    if not _NAME.fullmatch(str(name)):
        # It may be the key itself.
        raise KeyFault(HIDDEN, "it is no name of an environment variable", "give the name, not the key")
    value = os.environ.get(name, "").strip()
    if not value:
        raise KeyFault(name, "this environment variable is not set", f"export {name}=... before the run")
    if not _VALUE.fullmatch(value):
        reason = "this environment variable holds blanks or characters that no HTTP header may have"
        raise KeyFault(name, reason, "export the key alone")
    return value


def key_to(url: str, name: str | None, over_http: bool) -> str | None:
    """The key in the environment variable ``name``, which may go to the server at ``url``; None where none is named.

    Args:
        over_http: the setting ``api_key_over_http``: whether key or login may go over plain http to another machine.

    Raises:
        KeyFault: the variable holds no key, the address holds a login as well, or others could read it on the way.
        ValueError: ``url`` is no address.
    """
    parts = urlsplit(url)
    key, login = read_key(name), parts.username or parts.password
    if key and login:
        raise KeyFault(name, "the address holds a login, and a request can bring only one of the two", "give one")
    if (key or login) and parts.scheme == "http" and not over_http and not is_here(url):
        reason = f"its {'key' if key else 'login'} would go to {parts.hostname} over plain http, which others on the "
        reason += "way can read"
        raise KeyFault(name, reason, "take an address of https, or set api_key_over_http=true beside it")
    return key


def headers_of(key: str | None) -> dict[str, str]:
    """The HTTP headers that carry the key."""
    return {"Authorization": f"Bearer {key}"} if key else {}


MIN_SECRET = 8
"""Characters of the shortest key that is hidden: ``EMPTY`` and ``test`` are words, and no secrets."""


def hide(text: str, key: str | None) -> str:
    """The text without the key: a server may repeat it in its error.

    >>> hide("no such key: abcd-1234", "abcd-1234")
    'no such key: (the key)'
    """
    return text.replace(key, HIDDEN) if key and len(key) >= MIN_SECRET else text


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an address: two addresses of one origin are one server.

    >>> origin_of("https://Host/v1") == origin_of("https://host:443/v2"), origin_of("http://host:8000/v1")
    (True, ('http', 'host', 8000))

    Raises:
        ValueError: this is no address.
    """
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def is_here(url: str) -> bool:
    """Whether a server stands on this machine.

    >>> [is_here(url) for url in ("http://127.0.0.1:8000/v1", "http://[::1]/v1", "http://192.0.2.1/v1")]
    [True, True, False]
    """
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except OSError:  # an unknown host is told by the first request
        return False


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there.

    Raises:
        OSError: there is no such host.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0"), is_loopback("")
    (True, False, False)
    """
    if not host:
        return False
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return all(ipaddress.ip_address(address[0].partition("%")[0]).is_loopback for *_, address in found)
