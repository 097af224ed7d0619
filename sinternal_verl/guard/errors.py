"""Every exception of the guard.

``TemplateError``, ``BadRequest``   the guard cannot be asked this way; trying again does not help
``QueueFull``                       one replica has no room for a request; another may have
``CallFailed``                      a replica failed at one request, with a library's exception
``GuardUnavailable``                no replica and no server answers
``Refused``, ``EndpointFault``      a server will not answer: its status, and the setting that is wrong
``UnreadableVerdict``               the guard answered, and its answer is no verdict
"""

import math


class GuardUnavailable(RuntimeError):
    """The guard did not start, or answered with failures only."""


class Refused(GuardUnavailable):
    """The server refuses the request, and would refuse it again.

    Attributes:
        status: of HTTP.
        answer: the beginning of what it says.
    """

    def __init__(self, url: str, status: int, answer: str) -> None:
        super().__init__(url, status, answer)
        self.url, self.status, self.answer = url, status, answer

    def __str__(self) -> str:
        return f"{self.url}: HTTP {self.status}: {self.answer}"


class EndpointFault(GuardUnavailable):
    """The settings of a guard's server do not fit the server.

    Attributes:
        key, value, reason, next_step: as in `sinternal_verl.doctor.problem.Problem`.
        later: whether the same settings may fit later, because the server is starting or busy.
    """

    def __init__(self, key: str, value: object, reason: str, next_step: str, later: bool = False) -> None:
        # All arguments, because it travels from Ray's workers.
        super().__init__(key, value, reason, next_step, later)
        self.key, self.value, self.reason, self.next_step, self.later = key, value, reason, next_step, later

    def __str__(self) -> str:
        shown = "null" if self.value is None else self.value
        return f"{self.key} = {shown}: {self.reason}; {self.next_step}"


class TemplateError(ValueError):
    """The tokenizer's chat template does not have the guard's structure, or the tokenizer does not fit it."""


class QueueFull(RuntimeError):
    """The replica has as many requests as it may hold; another replica may have room.

    Attributes:
        retry_s: after how many seconds it may have room again.
        silent_s: for how many seconds it has answered nothing.
    """

    retry_s, silent_s = 0.0, math.inf


class CallFailed(RuntimeError):
    """The actor's method raised a library's exception; the message names it."""


class UnreadableVerdict(RuntimeError):
    """The guard's answer is not exactly one verdict; it would answer the same again."""


class BadRequest(ValueError):
    """The server cannot take this request; the message says what to send.

    Attributes:
        param: the parameter that is wrong; None where it is no single one.
    """

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param
