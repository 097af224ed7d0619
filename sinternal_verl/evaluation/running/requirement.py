"""Is Inspect here? The rest of the package works without it."""

import importlib.util
import platform
import sys

INSPECT_NEEDS = (3, 11)
"""The lowest Python on which Inspect can be installed."""

INSTALL = "pip install 'sinternal_verl[eval]', or in a checkout pip install -e '.[eval]'"


def require_inspect() -> None:
    """Check that Inspect is installed.

    Raises:
        ImportError: it is not; the message says what to do.
    """
    if sys.version_info[:2] < INSPECT_NEEDS:
        lowest = ".".join(map(str, INSPECT_NEEDS))
        raise ImportError(
            f"evaluation stands on inspect_ai, which needs Python {lowest} or later, and this is Python "
            f"{platform.python_version()}: make an environment of Python 3.12, and there {INSTALL}"
        )
    if importlib.util.find_spec("inspect_ai") is None:
        raise ImportError(f"evaluation stands on inspect_ai, which is not installed: {INSTALL}")
