"""What a model may be on the command line, and how each kind is reached through Inspect:

``outputs/verifier``                a folder with a model, such as one from `export`: served here by vLLM
``owner/name``, ``owner/name@REV``  a model of the Hugging Face hub: served here by vLLM
``https://host/v1#name``            an OpenAI-compatible server; without ``#name`` its only model
``openai/gpt-4o``                   any name that Inspect knows, ``mockllm/model`` included

Some names could be of the hub or of Inspect (``openai/gpt-oss-20b``). Then Inspect's provider is taken, and
``hub:openai/gpt-oss-20b`` means the hub.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

# Messages without a traceback, and which providers there are, have no public names.
from inspect_ai._util.error import PrerequisiteError
from inspect_ai._util.registry import registry_find, registry_info
from inspect_ai.model import GenerateConfig, Model, get_model

from sinternal_verl.credentials import KeyFault, headers_of, hide
from sinternal_verl.did_you_mean import did_you_mean_file
from sinternal_verl.evaluation.running.folders import folder_problems
from sinternal_verl.evaluation.running.serving import Server
from sinternal_verl.evaluation.running.vllm_command import MAX_MODEL_LEN, Wanted
from sinternal_verl.evaluation.tasks.server import PROVIDER
from sinternal_verl.verify.origin import weights_of
from sinternal_verl.verify.writer import key_for

Kind = Literal["folder", "hub", "server", "inspect"]

NO_KEY = "none"
HUB = "hub:"
"""A prefix of ours, and the name under which Inspect knows OpenAI-compatible servers in logs."""

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+(@[\w./-]+)?")
LIST_LIMIT_S = 20.0

LOADS_AT_ONCE = ("sglang", "llama-cpp-python", "nnterp", "transformer_lens")
"""Providers of Inspect that load a model when it is made."""

MAX_RETRIES, TIMEOUT_S, ATTEMPT_S = 6, 7200, 3600
"""[ours] Bounds of one request, which Inspect does not set: with its pauses of 3 s, doubled each time, tries to reach
a server that is gone take some minutes. 8,000 tokens of a busy server may take most of an hour."""


@dataclass(frozen=True)
class Choice:
    """A model that a user has named.

    Attributes:
        given: the words.
        kind: see the module.
        name: folder, hub id, the server's own name for it (empty: its only one), or Inspect's name.
        revision: commit or branch of a hub id.
        url: of a server, up to and with ``/v1``.
        api_key_env: environment variable with its key.
        options: of ``vllm serve``.
        max_model_len: tokens of a prompt and its answer: where it is served here, the most that we give it; else what
            its server says, if it does.
        root: what the server says that it serves under this name, such as a folder or a hub id; empty where it does
            not say.
    """

    given: str
    kind: Kind
    name: str
    revision: str | None = None
    url: str = ""
    api_key_env: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    max_model_len: int | None = MAX_MODEL_LEN
    root: str = ""

    @property
    def is_served(self) -> bool:
        """Whether it needs a server of ours."""
        return self.kind in ("folder", "hub")

    @property
    def called(self) -> str:
        """Its name in requests and logs."""
        return Path(self.name).resolve().name if self.kind == "folder" else self.name

    def wanted(self, served_as: str) -> Wanted:
        """What is to be served. A folder's context, where it is shorter, bounds the tokens."""
        from sinternal_verl.doctor.pretrained import context_of, read_config

        if self.kind == "hub":
            _fetch_config(self.name, self.revision)
        config = read_config(self.name)
        context = context_of(config) if config is not None else None
        longest = min(filter(None, (self.max_model_len, context)), default=None)
        return Wanted(self.name, served_as, self.revision, longest, self.options)

    def origin(self) -> dict[str, Any]:
        """What tells this model from others. Where its server is, and its key, do not."""
        if not self.is_served:
            return {"model": self.name}
        found = weights_of(self.name, self.revision, served=False)
        options = {name: str(value) for name, value in self.options.items()}
        return {
            **({} if self.kind == "folder" and found else {"model": self.name}),
            **({"weights": found} if found else {}),
            **({"vllm serve": options} if options else {}),
        }


def _fetch_config(name: str, revision: str | None) -> None:
    """Have a hub model's configuration in the cache, where the hub gives it; vLLM says why where it does not."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    with suppress(HfHubHTTPError, httpx.HTTPError, OSError, ValueError):
        hf_hub_download(name, "config.json", revision=revision)


def read_choice(given: str, api_key_env: str | None = None, options: Mapping[str, Any] | None = None) -> Choice:
    """The model that the words name.

    Raises:
        ValueError: they name none; the message says what they may be.
    """
    if given.startswith(("http://", "https://")):
        address, _, name = given.partition("#")
        url = address.rstrip("/")
        return Choice(given, "server", name, url=url, api_key_env=api_key_env)
    if given.startswith(HUB):
        return _of_hub(given, given.removeprefix(HUB), options)
    if given and Path(given).expanduser().is_dir():
        return Choice(given, "folder", str(Path(given).expanduser()), options=options or {})
    provider = given.partition("/")[0]
    if "/" in given and provider in providers():
        return Choice(given, "inspect", given, api_key_env=api_key_env)
    if HUB_ID.fullmatch(given):
        return _of_hub(given, given, options)
    raise ValueError(
        f"{given}: there is no such folder{did_you_mean_file(given)}; give the folder of a model, a hub id "
        "(owner/name), a server (https://host/v1#name) or a name of Inspect (openai/gpt-4o)"
    )


def _of_hub(given: str, name: str, options: Mapping[str, Any] | None) -> Choice:
    if not HUB_ID.fullmatch(name):
        raise ValueError(f"{given}: this is no hub id; write owner/name, or owner/name@revision")
    name, _, revision = name.partition("@")
    return Choice(given, "hub", name, revision or None, options=options or {})


def providers() -> set[str]:
    """The names of Inspect's providers, those of installed packages included."""
    found = registry_find(lambda info: info.type == "modelapi")
    return {registry_info(each).name.rpartition("/")[2] for each in found}


def choice_problems(choice: Choice) -> Iterator[str]:
    """What is known to be wrong with a model before anything starts."""
    if choice.kind == "folder":
        for problem in folder_problems(Path(choice.name)):
            yield f"{choice.given}: {problem}"
    if choice.kind == "hub":
        yield from _hub_problems(choice)
    if choice.kind == "server":
        yield from _address_problems(choice)
    if choice.kind == "inspect":
        yield from _inspect_problems(choice)
    if choice.is_served and choice.api_key_env:
        yield f"{choice.given}: it is served here and needs no key; leave --api-key-env out"


def _inspect_problems(choice: Choice) -> Iterator[str]:
    if choice.api_key_env:
        step = "leave --api-key-env out"
        yield f"{choice.given}: Inspect reads the key of its providers from their own variables; {step}"
    provider, _, name = choice.name.partition("/")
    if provider == "hf":
        # It would fail each item at temperature 0: transformers refuses to sample there. (Inspect 0.3.285)
        step = f"give {name}, which vLLM serves; or run inspect eval sinternal_verl/TASK -M do_sample=false"
        yield f"{choice.given}: Inspect's provider hf samples at every temperature, also at the paper's 0; {step}"
    elif provider not in LOADS_AT_ONCE:
        try:
            _opened_by_inspect(choice.name, GenerateConfig())
        except ValueError as error:
            yield str(error)


def _opened_by_inspect(name: str, config: GenerateConfig) -> Model:
    """
    Raises:
        ValueError: Inspect does not make the model; the message is Inspect's.
    """
    try:
        return get_model(name, config=config, memoize=False)
    except (PrerequisiteError, ValueError) as error:
        raise ValueError(f"{name}: {plain(str(error))}") from error


def plain(text: str) -> str:
    """A message of Inspect without its marks for bold and colours, in one line."""
    return " ".join(re.sub(r"\[/?(?:bold|blue|red|italic)\]", "", text).removeprefix("ERROR: ").split())


def _hub_problems(choice: Choice) -> Iterator[str]:
    if not choice.given.startswith(HUB) and Path(choice.name).parent.is_dir():
        step = f"write {HUB}{choice.name} if the hub is meant"
        yield f"{choice.given}: there is no such folder{did_you_mean_file(choice.name)}; {step}"
    elif weights_of(choice.name, choice.revision, served=False) is None:
        yield (
            f"{choice.given}: this machine has no copy of it and the hub gives none; check the name and the network, "
            "or log in (hf auth login) and accept the model's licence on its page"
        )


def _address_problems(choice: Choice) -> Iterator[str]:
    try:
        parts = urlsplit(choice.url)
        if not parts.hostname or (parts.port or 1) < 1:
            raise ValueError("it names no host")
    except ValueError as error:
        yield f"{choice.given}: this is no address ({error}); write https://host/v1#name"
        return
    if parts.username or parts.password:
        # A login would be in every log.
        yield f"{parts.hostname}: the address holds a login; give the key's variable by --api-key-env instead"
        return
    try:
        key_for(choice.url, choice.api_key_env, api_key_over_http=False)
    except KeyFault as fault:
        # The setting of `verify` is none of this command.
        step = fault.next_step.partition(", or set api_key_over_http")[0]
        yield f"{choice.given}: {fault.shown}: {fault.reason}; {step}"


def asked_server(choice: Choice) -> Choice:
    """The choice with the name of a server's model: the one that was given, if the server lists it, or its only one.

    Raises:
        ValueError: the server does not answer, does not list the model, or lists several; the message says what to do.
    """
    key = key_for(choice.url, choice.api_key_env, api_key_over_http=False)
    try:
        found = httpx.get(f"{choice.url}/models", headers=headers_of(key), timeout=LIST_LIMIT_S)
        found.raise_for_status()
        told = {str(model["id"]): model for model in found.json()["data"]}
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if choice.name and status in (404, 405, 501):
            return choice  # it lists no models, and its first request will tell
        step = "give its key by --api-key-env" if status in (401, 403) else "check the address, up to and with /v1"
        raise ValueError(f"{choice.url}: HTTP {status} when asked for its models; {step}") from error
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        said = hide(str(error), key) or type(error).__name__
        raise ValueError(
            f"{choice.url}: its list of models cannot be read ({said}); check the address, up to and with /v1"
        ) from error
    listed = list(told)
    if choice.name in told or (choice.name and not told):
        return _as_told(choice, told.get(choice.name, {}))
    shown = ", ".join(listed[:8]) + (", ..." if len(listed) > 8 else "")
    if choice.name:
        raise ValueError(f"{choice.url}: it has no model {choice.name}; it has {shown}")
    if len(listed) != 1:
        raise ValueError(f"{choice.url}: it has {shown or 'no models'}; name one: {choice.url}#NAME")
    return _as_told(replace(choice, name=listed[0]), told[listed[0]])


def _as_told(choice: Choice, told: Mapping[str, Any]) -> Choice:
    """The choice with what the server's list says beside the name. vLLM and SGLang say both."""
    longest, root = told.get("max_model_len"), told.get("root")
    return replace(
        choice,
        max_model_len=longest if isinstance(longest, int) else None,
        root=root if isinstance(root, str) else "",
    )


def open_model(choice: Choice, connections: int, server: Server | None = None) -> Model:
    """The model for Inspect.

    Args:
        connections: how many requests it gets at a time.
        server: the running server of a model that is served here.
    """
    config = GenerateConfig(
        max_connections=connections, max_retries=MAX_RETRIES, timeout=TIMEOUT_S, attempt_timeout=ATTEMPT_S
    )
    if choice.kind == "inspect":
        return _opened_by_inspect(choice.name, config)
    if server is not None:
        name, url, key = server.name, server.url, server.key
    else:
        # Inspect wants a key for every server, also for those that want none.
        name, url = choice.name, choice.url
        key = key_for(url, choice.api_key_env, api_key_over_http=False) or NO_KEY
    return get_model(f"{PROVIDER}/{name}", config=config, base_url=url, api_key=key, memoize=False)
