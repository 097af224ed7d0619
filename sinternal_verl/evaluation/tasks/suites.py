"""Which tasks belong to a suite."""

from collections.abc import Mapping

SUITES: Mapping[str, tuple[str, ...]] = {
    # [paper] All that the paper reports, in its order.
    "paper": (
        "strongreject",
        "jailbreak_r1",
        "fortress",
        "wildjailbreak",
        "hcot",
        "trotter",
        "xstest",
        "math500",
        "aime2024",
        "self_verification",
        "proactive_verification",
    ),
}
"""Tasks by the name of the suite."""
