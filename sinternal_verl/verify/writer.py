"""A model that writes: its settings, what it is asked and what can go wrong."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from sinternal_verl.credentials import key_to, origin_of
from sinternal_verl.scoring.response import Thought
from sinternal_verl.verify.budget import LONGEST, Limits, Prices
from sinternal_verl.verify.origin import is_path, origin_of_model
from sinternal_verl.verify.store import Reply

Messages = list[dict[str, str]]

OPENAI, OPENAI_KEY = "https://api.openai.com", "OPENAI_API_KEY"
"""The one server that gets a key without being told: the variable is OpenAI's own name for the key of its server."""


TEMPLATE_VALUES = "chat_template_kwargs"
TEMPLATE_KEY = "apply_chat_template_kwargs"
"""What vLLM's and SGLang's servers call the values of a chat template in the body of a request, and what verl's
settings and ours call them."""


@dataclass(frozen=True)
class WriterSettings:
    """A model that writes; the keys are those of ``policy`` and ``expert`` in the recipe, which explains them.

    Attributes:
        url: the server's address; None runs vLLM in this process.
        revision: tells these weights from others of the same name; see `sinternal_verl.verify.origin`.
        api_key_env: the environment variable that holds the server's key; see `key_for`.
        request: sampling parameters, sent as they are.
        apply_chat_template_kwargs: what the model's chat template takes besides messages, as in training; see
            `template_values`.
        timeout_s: seconds for one try of a request.
        max_requests, budget_tokens: what one command may spend; None is no limit.
        engine: vLLM's arguments where there is no ``url``.
        patience_s: seconds to wait while the server asks to wait and answers nothing.
        api_key_over_http: whether the key may go over plain http to another machine.
        price_per_million_input, price_per_million_output: of tokens, in any currency; None where it is not known.
    """

    model: str
    url: str | None
    api_key_env: str | None
    request: dict[str, Any]
    concurrency: int
    timeout_s: float
    retries: int
    max_requests: int | None
    budget_tokens: int | None
    engine: dict[str, Any]
    thought: Thought = "none"
    patience_s: float = 900.0
    api_key_over_http: bool = False
    price_per_million_input: float | None = None
    price_per_million_output: float | None = None
    revision: str | None = None
    apply_chat_template_kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def template_values(self) -> dict[str, Any]:
        """What the chat template takes besides messages; null is the same as leaving a value out."""
        return {key: value for key, value in self.apply_chat_template_kwargs.items() if value is not None}

    @property
    def parameters(self) -> dict[str, Any]:
        """What is sent beside messages and seed, and is the same in every request."""
        return self.request | ({TEMPLATE_VALUES: self.template_values} if self.template_values else {})

    @property
    def limits(self) -> Limits:
        context = None if self.url else self.engine.get("max_model_len")
        return Limits(
            self.concurrency,
            self.max_requests,
            self.budget_tokens,
            self.longest_reply,
            context,
            self.prices,
            self.patience_s,
        )

    @property
    def longest_reply(self) -> int | None:
        """The most tokens of a reply; None where the request sets no bound."""
        return next((self.request[key] for key in LONGEST if self.request.get(key)), None)

    @property
    def prices(self) -> Prices | None:
        if self.price_per_million_input is None or self.price_per_million_output is None:
            return None
        return Prices(self.price_per_million_input, self.price_per_million_output)

    def origin(self) -> dict[str, Any]:
        """What decides its replies. The server's address, time limits, how a reply is read and the like do not."""
        return self._origin

    def pinned_engine(self) -> dict[str, Any]:
        """vLLM's arguments, with the very commit that the keys name, although the hub may have a later one."""
        engine = dict(self.engine)
        if not is_path(self.model, served=False):
            engine["revision"] = self.origin().get("revision")
            if not engine.get("tokenizer"):
                engine.setdefault("tokenizer_revision", engine["revision"])
        return engine

    @cached_property
    def _origin(self) -> dict[str, Any]:
        # Read once: whoever replaces the weights during a build must not change the keys half way.
        return origin_of_model(self.model, bool(self.url), self.revision, self.parameters, self.engine)


def key_for(url: str, api_key_env: str | None, api_key_over_http: bool) -> str | None:
    """The key that goes to the server at ``url``: only one that was named for it, or OpenAI's own. None sends none.

    Raises:
        KeyFault: see `sinternal_verl.credentials.key_to`.
    """
    if api_key_env is None and origin_of(url) == origin_of(OPENAI):
        api_key_env = OPENAI_KEY
    return key_to(url, api_key_env, api_key_over_http)


class WriterFailed(RuntimeError):
    """One request got no reply after all tries; another may get one.

    Attributes:
        kind: a few words, by which failures are counted.
        what: the message without them.
        read, written: tokens that the last try cost, where the server says so.
        retry_after_s: when the server asks to come back; None where it does not say.
        away: whether it may mean that the server is gone: a connection, a timeout or 5xx.
        untold: whether it may have cost tokens that nobody has told.
    """

    def __init__(
        self,
        kind: str,
        what: str,
        used: tuple[int, int] = (0, 0),
        retry_after_s: float | None = None,
        *,
        away: bool = False,
        untold: bool = False,
    ) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind, self.what, self.retry_after_s = kind, what, retry_after_s
        self.read, self.written = used
        self.away, self.untold = away, untold


class WriterBusy(RuntimeError):
    """The server asks to wait; it has read the request no further.

    Attributes:
        retry_after_s: for how many seconds; None where it does not say.
    """

    def __init__(self, what: str, retry_after_s: float | None = None) -> None:
        super().__init__(what)
        self.retry_after_s = retry_after_s


class WriterUnusable(RuntimeError):
    """No request will get a reply: the key or a setting is refused, the quota is used up, there is no such model, or
    the engine died."""


Cost = Callable[[int, int, bool], bool]
"""Is called for each try that failed, and for a reply whose tokens nobody counted: tokens read and written that the
server has told, and whether there may be others that nobody told. Returns whether the budget has room for another
try."""


def unbounded(read: int, written: int, untold: bool) -> bool:
    """A `Cost` without a budget."""
    return True


class Writer(Protocol):
    """Answers conversations; many calls may run at once."""

    async def write(self, messages: Messages, seed: int | None, cost: Cost = unbounded) -> Reply:
        """Answer one conversation. A request that can never get an answer gets a reply that says so: its ``finish``
        is ``refused``, ``too_long`` or ``rejected``.

        Args:
            seed: the seed of the sampling; None sends none.
            cost: see `Cost`. The tokens of a reply that the server counted are in the reply alone.

        Raises:
            WriterBusy: the server asks to wait.
            WriterFailed: this request got no reply.
            WriterUnusable: no request will get a reply.
        """
        ...

    async def close(self) -> None: ...
