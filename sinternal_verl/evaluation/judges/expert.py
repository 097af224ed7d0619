"""``expert``: a chat model that judges as the expert of stage 1 does: by a safety specification and the template that
the model learns from, a critique first and then one line with its verdict.

Unlike the rubrics, this template puts the texts in between plain tags: expert and model are to read the same prompt.
"""

from inspect_ai.model import ChatMessageUser, Model

from sinternal_verl.data.specification import load_specification
from sinternal_verl.data.template import VerificationPrompt
from sinternal_verl.evaluation.judge import Judgement, Question, Value
from sinternal_verl.evaluation.judges import reasons
from sinternal_verl.evaluation.judges.chat import MAX_RETRIES, TIMEOUT_S, TRY_S, Asking, Failure, ask
from sinternal_verl.scoring.critique import parse

SPECIFICATION = "eight_categories"
"""[ours] As in ``recipes/verify/build.yaml``; the paper's is not public."""

MAX_TOKENS = 2048
"""[ours] As there."""


class Expert:
    """See the module.

    Args:
        model: any chat model; [paper] Claude 4 Sonnet.
        specification, prompt: as in ``recipes/verify/build.yaml``.
        max_tokens, try_s, timeout_s, max_retries: see `sinternal_verl.evaluation.judges.chat.Asking`.

    Raises:
        ValueError: there is no such specification, or the prompt cannot be used.
    """

    name = "expert"
    gives: frozenset[Value] = frozenset({"unsafe"})

    def __init__(
        self,
        model: Model,
        *,
        specification: str = SPECIFICATION,
        prompt: str | None = None,
        max_tokens: int = MAX_TOKENS,
        try_s: int = TRY_S,
        timeout_s: int = TIMEOUT_S,
        max_retries: int = MAX_RETRIES,
    ) -> None:
        self._model, self.model = model, str(model)
        self._rules, self._prompt = load_specification(specification).text, VerificationPrompt.load(prompt)
        self._asking = Asking(max_tokens, 0.0, try_s, timeout_s, max_retries)

    async def judge(self, question: Question) -> Judgement:
        text = self._prompt.fill(self._rules, question.request, question.text)
        reply = await ask(self._model, [ChatMessageUser(content=text)], self._asking)
        if isinstance(reply, Failure):
            return reply.judgement()
        found = parse(reply)
        if isinstance(found, str):
            return Judgement({}, reasons.UNPARSABLE, found)
        return Judgement({"unsafe": float(found.verdict == "unsafe")}, explanation=found.verdict)

    async def close(self) -> None:
        pass
