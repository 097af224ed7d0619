"""``expert``: a chat model that judges as the expert of stage 1 does: by a safety specification and the template that
the model learns from, a critique first and then one line with its verdict.

Unlike the rubrics, this template puts the texts in between plain tags: expert and model are to read the same prompt.
Only control tokens are broken up, because a text that holds some would end its turn and write the expert's.
"""

from typing import Any

from inspect_ai.model import ChatMessageUser, Model

from sinternal_verl.data.specification import load_specification
from sinternal_verl.data.template import VerificationPrompt
from sinternal_verl.evaluation.judge import Judgement, Question, Value
from sinternal_verl.evaluation.judges import reasons
from sinternal_verl.evaluation.judges.base import ChatJudge
from sinternal_verl.evaluation.judges.chat import Failure, ask
from sinternal_verl.evaluation.judges.framing import without_control_tokens
from sinternal_verl.scoring.critique import parse

SPECIFICATION = "eight_categories"
"""[ours] As in ``recipes/verify/build.yaml``; the paper's is not public."""


class Expert(ChatJudge):
    """See the module.

    Args:
        model: any chat model; [paper] Claude 4 Sonnet.
        specification, prompt: as in ``recipes/verify/build.yaml``.

    Raises:
        ValueError: there is no such specification, or the prompt cannot be used.
    """

    name = "expert"
    gives: frozenset[Value] = frozenset({"unsafe"})
    MAX_TOKENS = 2048  # [ours] as in that recipe

    def __init__(
        self, model: Model, *, specification: str = SPECIFICATION, prompt: str | None = None, **settings: Any
    ) -> None:
        super().__init__(model, **settings)
        self._rules, self._prompt = load_specification(specification).text, VerificationPrompt.load(prompt)

    async def judge_text(self, question: Question) -> Judgement:
        texts = map(without_control_tokens, (question.request, question.text))
        text = self._prompt.fill(self._rules, *texts)
        reply = await ask(self._model, [ChatMessageUser(content=text)], self._asking)
        if isinstance(reply, Failure):
            return reply.judgement()
        found = parse(reply)
        if isinstance(found, str):
            return Judgement({}, reasons.UNPARSABLE, found)
        return Judgement({"unsafe": float(found.verdict == "unsafe")}, explanation=found.verdict)
