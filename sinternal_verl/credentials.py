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
