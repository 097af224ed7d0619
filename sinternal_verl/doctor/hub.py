"""Does the hub have a model that is not on this machine? Whoever loads it finds out only once the run has started."""

from collections.abc import Iterator
from functools import cache

from sinternal_verl.doctor.problem import Problem

TIMEOUT_S = 5.0


def check_hub_id(key: str, model: str) -> Iterator[Problem]:
    """Ask the hub for a model. A hub that does not answer says nothing, because the cache may be on another machine."""
    if reason := _missing(model):
        yield Problem(key, model, reason, "give an existing folder, or a hub id (owner/name); log in for a private one")


@cache
def _missing(model: str) -> str | None:
    import httpx
    from huggingface_hub import model_info
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, RepositoryNotFoundError

    try:
        model_info(model, timeout=TIMEOUT_S)
    except RepositoryNotFoundError:
        return "the hub has no such model, or does not show it to you"
    except HFValidationError:
        return "this is neither a folder on this machine nor a hub id"
    except OfflineModeIsEnabled:
        return "it is not in the hub's cache, and HF_HUB_OFFLINE forbids to load it"
    except (HfHubHTTPError, httpx.HTTPError, OSError):
        return None
    return None
