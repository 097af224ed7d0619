"""The judges of the evaluation suite.

``registry``         the judges by name, and how one is opened
``base``             what judges share
``settings``         their settings, checked by their types
``reasons``          why a judge gave no verdict
``chat``             asks a model through Inspect
``framing``          puts texts that are not to be trusted into a prompt
``reply``            reads the verdict with which a reply ends
``rater``            asks a chat model with a rubric, which is data
``expert``           the expert of stage 1
``llama_guard``      Llama-Guard-3 in its own format
``wildguard``        WildGuard in its own format
``qwen3guard``       Qwen3Guard-Gen through the reward's backend
``local_guard``      that guard in this process
``rated``            StrongREJECT, XSTest and proactive verification, by a rubric
``fortress``         FORTRESS, by a majority over each item of a rubric
``phrases``          phrases with which an answer refuses, which are data
``refusal_strings``  a floor without a model
"""

from sinternal_verl.evaluation.judges.registry import JUDGES, JudgeError, JudgeInfo, open_judge

__all__ = ["JUDGES", "JudgeError", "JudgeInfo", "open_judge"]
