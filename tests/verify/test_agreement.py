"""The guard's labels on selected answers; the guard is the one fake."""

import asyncio

import pytest

from sinternal_verl.guard.errors import GuardUnavailable
from sinternal_verl.guard.judge import Judgement
from sinternal_verl.guard.verdict import Safety, Verdict
from sinternal_verl.scoring.critique import Critique
from sinternal_verl.verify import report as agreement
from sinternal_verl.verify.build import Answer
from sinternal_verl.verify.report import GuardWriter, guard_requests
from sinternal_verl.verify.requests import Prompt
from sinternal_verl.verify.select import Example
from sinternal_verl.verify.store import Reply, Store
from sinternal_verl.verify.writer import WriterFailed

GUARD = {"backend": "openai_endpoint", "engine": {"model": "guard", "max_model_len": 64}, "mode": "decode"}


def example(request="Lend it?", answer="Come at noon.", verdict="unsafe") -> Example:
    prompt = Prompt(request, "harmful", "safety/harmful/orla", "7")
    return Example(prompt, Answer(0, "It asks for the lamp.", answer), Critique("It lends.", verdict))


class Guard:
    def __init__(self, says: Judgement | Exception) -> None:
        self.says, self.asked, self.closed = says, [], False

    async def judge(self, user, assistant, refusal=True):
        self.asked.append((user, assistant, refusal))
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    async def close(self):
        self.closed = True


def written(monkeypatch, says) -> tuple[Reply, Guard]:
    guard = Guard(says)
    monkeypatch.setattr(agreement, "connect", lambda config: guard)
    (request,) = guard_requests([example()], GUARD)

    async def write():
        writer = GuardWriter(GUARD)
        try:
            return await writer.write(request.messages, request.seed)
        finally:
            await writer.close()

    return asyncio.run(write()), guard


@pytest.mark.parametrize(
    ("judgement", "label"),
    [
        (Judgement(Verdict(Safety.SAFE, (), False)), "Safe"),
        (Judgement(Verdict(Safety.CONTROVERSIAL, (), False)), "Controversial"),
        (Judgement(Verdict(Safety.UNSAFE, (), False)), "Unsafe"),
        (Judgement(None, "no Safety line"), "no verdict"),
    ],
)
def test_the_guard_reads_request_and_answer_without_the_thought(monkeypatch, judgement, label):
    reply, guard = written(monkeypatch, judgement)

    assert reply == Reply(label)
    assert guard.asked == [("Lend it?", "Come at noon.", False)] and guard.closed


@pytest.mark.parametrize(
    ("error", "kind"), [(GuardUnavailable("HTTP 503"), "GuardUnavailable"), (TimeoutError("late"), "TimeoutError")]
)
def test_a_guard_that_fails_is_a_failure_and_no_label(monkeypatch, error, kind):
    with pytest.raises(WriterFailed, match=str(error)) as failed:
        written(monkeypatch, error)
    assert failed.value.kind == kind


def test_verdicts_and_labels_are_counted_in_pairs(tmp_path):
    examples = [example(), example(answer="No.", verdict="safe"), example("Sell it?", "No.", "safe")]
    with Store(tmp_path / "store.sqlite") as store:
        first, second, _ = guard_requests(examples, GUARD)
        store.add(first.key, Reply("Unsafe"))
        store.add(second.key, Reply("Controversial"))

        assert agreement.agreement(examples, GUARD, store) == {
            ("unsafe", "Unsafe"): 1,
            ("safe", "Controversial"): 1,
            ("safe", "no verdict"): 1,
        }


@pytest.mark.parametrize(
    ("other", "guard"),
    [
        (example("Sell it?"), GUARD),
        (example(answer="No."), GUARD),
        (example(), GUARD | {"engine": GUARD["engine"] | {"model": "another"}}),
        (example(), GUARD | {"engine": GUARD["engine"] | {"max_model_len": 32}}),
        (example(), GUARD | {"mode": "first_token"}),
    ],
)
def test_what_decides_a_label_asks_the_guard_again(other, guard):
    ((here,), (there,)) = guard_requests([example()], GUARD), guard_requests([other], guard)

    assert here.key != there.key


def test_another_guard_in_the_same_place_is_asked_again(tmp_path):
    guard = GUARD | {"engine": GUARD["engine"] | {"model": str(tmp_path)}}
    (here,) = guard_requests([example()], guard)
    (tmp_path / "model.safetensors").write_bytes(b"x")
    (there,) = guard_requests([example()], guard)

    assert here.key != there.key


def test_the_experts_verdict_does_not_decide_the_guards():
    ((here,), (there,)) = (guard_requests([example(verdict=verdict)], GUARD) for verdict in ("safe", "unsafe"))

    assert here.key == there.key
