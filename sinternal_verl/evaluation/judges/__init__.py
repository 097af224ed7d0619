"""The judges of the evaluation suite.

``registry``         the judges by name, and how one is opened
``reasons``          why a judge gave no verdict
``chat``             asks a chat model through Inspect
``framing``          puts texts that are not to be trusted into a prompt
``reply``            reads the verdict with which a reply ends
``rater``            a chat model with a rubric, which is data
``phrases``          phrases with which an answer refuses, which are data
``expert``           the expert of stage 1
``llama_guard``      Llama-Guard-3 in its own format
``refusal_strings``  a floor without a model
"""

from sinternal_verl.evaluation.judges.registry import JUDGES, JudgeError, JudgeInfo, open_judge

__all__ = ["JUDGES", "JudgeError", "JudgeInfo", "open_judge"]
