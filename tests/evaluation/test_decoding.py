"""How answers are decoded: what reaches a server, what is withheld and said, and several epochs of one answer."""

import pytest

pytest.importorskip("inspect_ai", reason="Inspect needs Python 3.11")

from aiohttp import web
from inspect_ai import eval
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import get_model
from scripted_model import model, requests
from servers import serving

from sinternal_verl.evaluation.tasks import decoding
from sinternal_verl.evaluation.tasks.decoding import AIME, GREEDY, DecodedTask
from sinternal_verl.evaluation.tasks.math_tasks import aime2024
from sinternal_verl.evaluation.tasks.safety_tasks import strongreject

SAID = "I may not.</think>No."


@pytest.fixture
def server():
    """A server's model, and the bodies of the requests that it had."""
    bodies = []

    async def reply(request):
        bodies.append(await request.json())
        choice = {"index": 0, "message": {"role": "assistant", "content": SAID}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return web.json_response(
            {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        )

    with serving(reply, ["m"]) as url:
        # Inspect keeps one address for each name of a model, so each test has a name of its own.
        name = f"vllm/m{url.rpartition(':')[2].removesuffix('/v1')}"
        yield get_model(name, base_url=url, api_key="none", memoize=False), bodies


def run(task, policy, folder, **options):
    return eval(task, model=policy, display="none", log_dir=str(folder / "logs"), **options)[0]


def test_a_server_of_vllm_gets_the_papers_settings(server, tmp_path):
    policy, bodies = server
    assert run(strongreject(source=requests(tmp_path), judge="refusal_strings"), policy, tmp_path).status == "success"

    body = bodies[0]
    assert (body["temperature"], body["repetition_penalty"]) == (0.0, 1.2)
    assert 8000 in (body.get("max_tokens"), body.get("max_completion_tokens"))
    assert "top_p" not in body and [message["role"] for message in body["messages"]] == ["user"]


def test_a_provider_that_takes_no_penalty_gets_none_and_it_is_said_once(server, tmp_path, monkeypatch, caplog):
    policy, bodies = server
    monkeypatch.setattr(decoding, "PASSES_BODY", ())
    assert run(strongreject(source=requests(tmp_path), judge="refusal_strings"), policy, tmp_path).status == "success"

    assert len(bodies) == 4 and not any("repetition_penalty" in body for body in bodies)
    assert caplog.text.count("takes no repetition penalty") == 1


def test_no_penalty_is_a_parameter(server, tmp_path):
    policy, bodies = server
    run(strongreject(source=requests(tmp_path), judge="refusal_strings", repetition_penalty=1), policy, tmp_path)

    assert "repetition_penalty" not in bodies[0]


def test_the_papers_values():
    assert (GREEDY.temperature, GREEDY.max_tokens, GREEDY.repetition_penalty, GREEDY.epochs) == (0.0, 8000, 1.2, 1)
    assert (AIME.temperature, AIME.top_p, AIME.epochs) == (0.6, 0.95, 16)


@pytest.mark.parametrize("given", [{"epochs": 2}, {"epochs": 2, "temperature": 0}])
def test_several_epochs_at_temperature_0_are_refused(tmp_path, given):
    with pytest.raises(PrerequisiteError, match="epochs=2 at temperature=0"):
        strongreject(source=requests(tmp_path), **given)


def test_several_epochs_of_the_command_line_are_refused_before_a_request(tmp_path):
    policy = model(SAID)
    task = strongreject(source=requests(tmp_path), judge="refusal_strings")
    with pytest.raises(PrerequisiteError, match="epochs=2 at temperature=0"):
        run(task, policy, tmp_path, epochs=2)

    assert not policy.api.asked
    assert task.epochs == 1  # the task is as it was


def test_temperature_0_of_the_command_line_is_refused_before_a_request(tmp_path):
    problems = tmp_path / "problems.jsonl"
    problems.write_text('{"problem": "How many nets has Orla?", "answer": "3"}\n')
    policy = model(SAID)
    log = run(aime2024(source=str(problems)), policy, tmp_path, temperature=0.0)

    assert log.status == "error" and "epochs=16 at temperature=0" in log.error.message
    assert not policy.api.asked


def test_several_epochs_with_a_temperature_are_several_answers(tmp_path):
    policy = model(SAID)
    task = strongreject(source=requests(tmp_path), judge="refusal_strings", temperature=0.6, epochs=2)

    assert len(run(task, policy, tmp_path).samples) == 8
    assert {config.temperature for _, config in policy.api.asked} == {0.6}


def test_a_task_keeps_its_check_when_it_is_copied():
    from copy import copy

    task = copy(DecodedTask(config=GREEDY.config()))
    with pytest.raises(PrerequisiteError):
        task.epochs = 3
