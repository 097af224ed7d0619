"""Every exception of the guard.

``TemplateError``, ``BadRequest``   the guard cannot be asked this way; trying again does not help
``QueueFull``, ``CallFailed``       one replica failed at one request; another replica may not
``GuardUnavailable``                no replica and no server answers
``UnreadableVerdict``               the guard answered, and its answer is no verdict
"""

import math


class GuardUnavailable(RuntimeError):
    """The guard did not start, or answered with failures only."""


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
    """The server cannot take this request; the message says what to send."""
