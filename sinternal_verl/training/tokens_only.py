"""What vLLM is asked to return of a rollout: its tokens, once, when it ends.

verl's server asks for vLLM's default, which hands over the whole response with its text at every token, and keeps
the tokens of the last. One process does so for every rollout of an engine, and the engine waits for it. (verl 0.9.1)
"""

from typing import Any


class FinalOnly:
    """vLLM's ``RequestOutputKind.FINAL_ONLY``, which it becomes in the process that reads it: to import vLLM takes
    an agent loop seconds."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _final_only, ()


def _final_only() -> Any:
    from vllm.sampling_params import RequestOutputKind

    return RequestOutputKind.FINAL_ONLY


def tokens_only(sampling_params: dict[str, Any]) -> dict[str, Any]:
    """The same parameters of a request, of which vLLM returns the tokens alone and once.

    With a stop string the text is made all the same: vLLM looks for it there.
    """
    return {**sampling_params, "output_kind": FinalOnly(), "detokenize": bool(sampling_params.get("stop"))}
