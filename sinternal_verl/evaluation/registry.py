"""What Inspect finds of this package, by the entry point of its group ``inspect_ai``: `inspect eval sinternal_verl/…`.

Inspect imports this module whatever is evaluated, and only warns where that fails: so nothing here may load a trainer,
an engine or a tokenizer.
"""

from sinternal_verl.evaluation.tasks.asking import ask_model
from sinternal_verl.evaluation.tasks.math_tasks import aime2024, math500
from sinternal_verl.evaluation.tasks.metrics import error, interval
from sinternal_verl.evaluation.tasks.proactive import proactive, proactive_verification, safe_share
from sinternal_verl.evaluation.tasks.replay import replay
from sinternal_verl.evaluation.tasks.safety_tasks import (
    fortress,
    harmbench,
    hcot,
    jailbreak_r1,
    strongreject,
    trotter,
    wildjailbreak,
    xstest,
)
from sinternal_verl.evaluation.tasks.scorers import accuracy, asr, compliance, refusal, rubric_score, strongreject_score
from sinternal_verl.evaluation.tasks.self_verification import (
    self_verification,
    self_verification_task,
    verdict_figures,
    verify_own_answer,
)
from sinternal_verl.evaluation.tasks.server import server

__all__ = [
    "accuracy",
    "aime2024",
    "ask_model",
    "asr",
    "compliance",
    "error",
    "fortress",
    "harmbench",
    "hcot",
    "interval",
    "jailbreak_r1",
    "math500",
    "proactive",
    "proactive_verification",
    "refusal",
    "replay",
    "rubric_score",
    "safe_share",
    "self_verification",
    "self_verification_task",
    "server",
    "strongreject",
    "strongreject_score",
    "trotter",
    "verdict_figures",
    "verify_own_answer",
    "wildjailbreak",
    "xstest",
]
