"""Every exception of the guard.

``TemplateError``, ``BadRequest``   the guard cannot be asked so, however often
``QueueFull``, ``CallFailed``       one replica failed with one request; another may not
``GuardUnavailable``                no replica and no server answers
``UnreadableVerdict``               the guard answered, and its answer is no verdict
"""


class GuardUnavailable(RuntimeError):
    """The guard did not start, or answered with failures only."""


class TemplateError(ValueError):
    """The tokenizer's template is not one of the guard's structure."""


class QueueFull(RuntimeError):
    """The replica has as many requests as it may hold; another may have room."""


class CallFailed(RuntimeError):
    """The method raised an exception of a library, which it names."""


class UnreadableVerdict(RuntimeError):
    """The guard answered with something else than one verdict; it would again."""


class BadRequest(ValueError):
    """A request that no guard can answer; the message says what to send."""
