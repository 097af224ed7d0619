"""Every exception of the guard.

``TemplateError``, ``BadRequest``   the guard cannot be asked this way; trying again does not help
``QueueFull``, ``CallFailed``       one replica failed at one request; another replica may not
``GuardUnavailable``                no replica and no server answers
``UnreadableVerdict``               the guard answered, and its answer is no verdict
"""


class GuardUnavailable(RuntimeError):
    """The guard did not start, or answered with failures only."""


class TemplateError(ValueError):
    """The tokenizer's chat template does not have the guard's structure, or the tokenizer does not fit it."""


class QueueFull(RuntimeError):
    """The replica has as many requests as it may hold; another replica may have room."""


class CallFailed(RuntimeError):
    """The actor's method raised a library's exception; the message names it."""


class UnreadableVerdict(RuntimeError):
    """The guard's answer is not exactly one verdict; it would answer the same again."""


class BadRequest(ValueError):
    """The server cannot take this request; the message says what to send."""
