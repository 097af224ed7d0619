"""Asks vLLM to return a rollout once, when it ends, as tokens without text.

verl's server uses vLLM's default: at every new token vLLM hands over the whole response with its text. verl keeps
only the tokens of the last one. One process handles all rollouts of an engine this way, and the engine waits for
it. (verl 0.9.1)
"""

from typing import Any


class FinalOnly:
    """Stands for vLLM's ``RequestOutputKind.FINAL_ONLY`` and unpickles to it in the server's process. An agent loop
    need not import vLLM, which takes seconds."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _final_only, ()


def _final_only() -> Any:
    from vllm.sampling_params import RequestOutputKind

    return RequestOutputKind.FINAL_ONLY


def tokens_only(sampling_params: dict[str, Any]) -> dict[str, Any]:
    """The request parameters, with settings added that make vLLM return only the tokens, and only once.

    With a stop string vLLM still makes the text, because it looks for the string there.
    """
    return {**sampling_params, "output_kind": FinalOnly(), "detokenize": bool(sampling_params.get("stop"))}
