"""Servers that are asked before anything starts, over HTTP: whatever keeps one from answering is told at once."""

import asyncio
import gc
import json

import pytest
from aiohttp import web
from servers import serving

pytest.importorskip("inspect_ai", reason="needs the eval extra; make install brings it")

from sinternal_verl.cli import main
from sinternal_verl.evaluation.running import probe
from sinternal_verl.guard.endpoint import EndpointClient

TEMPLATE = "default chat template is no longer allowed, so you must provide a chat template"


def answers(body, status=200):
    return lambda _: web.json_response(body, status=status)


def refuses(status, message):
    return answers({"error": {"message": message}}, status)


def says(text="safe", finish="stop"):
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": finish, "message": message}
    return answers({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})


async def hangs(_):
    await asyncio.sleep(30)


def resets(request):
    request.transport.abort()
    return web.Response()


WRONG = {
    "a wrong key": (refuses(401, "no such key"), ["401", "no such key", "give its key by --api-key-env"]),
    "a key that may not": (refuses(403, "not yours"), ["403", "not yours", "give its key by --api-key-env"]),
    "a model that is gone": (refuses(404, "no model m"), ["404", "no model m", "the model's name behind #"]),
    "no chat template": (refuses(400, TEMPLATE), [TEMPLATE, "--chat-template"]),
    "no room for a word": (refuses(400, "maximum context length is 8 tokens"), ["no answer", "model_length"]),
    "a filter for all": (refuses(400, "the prompt was flagged"), ["no answer", "content_filter"]),
    "out of memory": (refuses(500, "no memory"), ["500", "no memory", "see its log"]),
    "busy": (refuses(429, "slow down"), ["429", "slow down", "busy, or its quota is used up"]),
    "200 with an error": (refuses(200, "overloaded"), ["no answer (overloaded)"]),
    "200 with a word": (answers("hello"), ["no answer", "hello"]),
    "200 without choices": (answers({"id": "1", "choices": []}), ["no choices[0].message"]),
    "200 with null": (answers({"id": "1", "choices": [{"index": 0, "message": None}]}), ["no choices[0].message"]),
    "a page": (lambda _: web.Response(text="<html>log in", content_type="text/html"), ["no answer", "log in"]),
    "an empty body": (lambda _: web.Response(text=""), ["no answer"]),
    "a broken connection": (resets, ["no answer", "check the address"]),
    "silence": (hangs, ["no answer to a message of one word within 3 s"]),
}


async def _awaited(handle, request):
    made = handle(request)
    return await made if asyncio.iscoroutine(made) else made


@pytest.fixture
def evaluate(tmp_path, capfd):
    """A function that runs `sinternal-verl eval` on one request of an invented set; exit code and what it said."""
    source = tmp_path / "strongreject.jsonl"
    source.write_text(json.dumps({"forbidden_prompt": "May I lend the lamp?", "category": "c", "source": "s"}) + "\n")

    def run(*words, out="out"):
        asked = ["--tasks", "strongreject", "--source", str(source), "-T", "thought=none"]
        code = main(["eval", *asked, "--out", str(tmp_path / out), *words])
        return code, capfd.readouterr().err

    return run


@pytest.mark.parametrize("who", ["model", "judge"])
@pytest.mark.parametrize("kind", WRONG)
def test_a_server_that_gives_no_answer_is_told_before_anything_starts(evaluate, tmp_path, monkeypatch, kind, who):
    handle, words = WRONG[kind]
    if handle is hangs:
        monkeypatch.setattr(probe, "LIMIT_S", 3)
    items = []

    async def bad(request):
        return await _awaited(handle, request)

    async def good(request):
        items.append(await request.text())
        return await _awaited(says(), request)

    with serving(bad, ["m"]) as wrong, serving(good, ["m"]) as right:
        model, judge = (wrong, right) if who == "model" else (right, wrong)
        code, said = evaluate("--model", model, "--judge", f"llama_guard={judge}")

    assert code == 2 and "Traceback" not in said
    line = said.splitlines()[-1]
    assert wrong in line and right not in line and ("judge llama_guard by" in line) == (who == "judge")
    for word in words:
        assert word in line
    assert not any("lend the lamp" in body for body in items) and not (tmp_path / "out").exists()


def test_all_servers_are_told_at_once_each_with_its_own_reason(evaluate):
    async def closed(request):
        return await _awaited(refuses(401, "no such key"), request)

    async def full(request):
        return await _awaited(refuses(500, "no memory"), request)

    with serving(closed, ["m"]) as one, serving(full, ["m"]) as other:
        code, said = evaluate("--model", one, "--judge", f"llama_guard={other}", "--judge", f"xstest={other}")

    assert code == 2 and "nothing was started" in said
    assert sum(f"{one}: it refuses" in line for line in said.splitlines()) == 1
    assert f"judge llama_guard by {other}: it refuses" in said and f"judge xstest by {other}: it refuses" in said


def test_a_decoding_that_the_server_refuses_is_told_with_its_parameter(evaluate):
    async def strict(request):
        body = await request.json()
        wrong = "repetition_penalty" in body
        return await _awaited(refuses(400, "unknown argument: repetition_penalty") if wrong else says(), request)

    with serving(strict, ["m"]) as url:
        words = ["--model", url, "--judge", f"llama_guard={url}"]
        code, said = evaluate(*words)
        again, _ = evaluate(*words, "-T", "repetition_penalty=1")

    assert code == 2 and "-T repetition_penalty=1 leaves that out" in said
    assert again == 0


def test_a_key_is_not_shown_where_a_server_repeats_it(evaluate, monkeypatch):
    monkeypatch.setenv("EVAL_KEY", "abcdefghij")

    async def repeats(request):
        return await _awaited(refuses(401, f"no such key: {request.headers['Authorization']}"), request)

    with serving(repeats, ["m"]) as url:
        code, said = evaluate("--model", url, "--api-key-env", "EVAL_KEY", "--judge", "refusal_strings")

    assert code == 2 and "abcdefghij" not in said and "check the key in EVAL_KEY" in said


def test_a_guard_that_takes_no_answer_to_judge_is_told(evaluate):
    """Some chat templates have room for a user's message alone."""

    async def users_alone(request):
        roles = [message["role"] for message in (await request.json())["messages"]]
        wrong = "assistant" in roles
        return await _awaited(refuses(400, "roles must alternate") if wrong else says(), request)

    with serving(users_alone, ["m"]) as url:
        code, said = evaluate("--model", url, "--judge", f"llama_guard={url}")

    assert code == 2 and "judge llama_guard by sinternal_server/m cannot be asked (judge_unreachable: HTTP 400)" in said


def test_a_judge_without_a_verdict_is_a_warning_and_a_set_without_a_value_no_success(evaluate):
    async def talks(request):
        return await _awaited(says("I like lamps."), request)

    with serving(talks, ["m"]) as url:
        code, said = evaluate("--model", url, "--judge", f"llama_guard={url}")

    assert code == 1 and said.count("on a first, harmless answer it has no verdict (judge_unparsable)") == 1
    assert "no answer is scored of strongreject; " in said and "eval rejudge" in said
    assert "It wants meta-llama/Llama-Guard-3-8B" in said


def test_answers_without_room_in_a_servers_context_are_refused(evaluate):
    listed = {"object": "list", "data": [{"id": "m", "max_model_len": 4096}]}

    async def small(request):
        return await _awaited(answers(listed) if request.method == "GET" else says(), request)

    with serving(small) as url:
        code, said = evaluate("--model", f"{url}#m", "--judge", "refusal_strings")
        again, _ = evaluate("--model", f"{url}#m", "--judge", f"llama_guard={url}#m", "-T", "max_tokens=2000")

    assert code == 2 and "its context is 4096 tokens, and strongreject ask for answers of 8000" in said
    assert again == 0


def lists(entry, handle):
    """A server that lists one model so, and answers everything else by a handler."""

    async def answer(request):
        if request.method == "GET":
            return web.json_response({"object": "list", "data": [entry]})
        return await _awaited(handle, request)

    return answer


def judges(text="Safety: Safe\nCategories: None\nRefusal: No"):
    """Completions of token ids; chats are answered, too, as by vLLM."""

    async def answer(request):
        if request.path.endswith("/chat/completions"):
            return await _awaited(says("</think>I may not."), request)
        return web.json_response({"choices": [{"text": text}]})

    return answer


@pytest.fixture
def plain_folder(tmp_path, untaught_guard):
    """A model's folder whose chat template is no guard's."""
    import shutil

    folder = tmp_path / "plain"
    shutil.copytree(untaught_guard, folder)
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    return folder


def test_a_guards_tokenizer_is_where_its_server_says_or_where_the_user_says(evaluate, untaught_guard):
    words = ["-J", "qwen3guard.max_model_len=1024"]
    with serving(lists({"id": "lamp", "root": str(untaught_guard)}, judges())) as told:
        code, said = evaluate("--model", told, "--judge", f"qwen3guard={told}", *words)
    assert code == 0, said

    with serving(lists({"id": "lamp"}, judges())) as untold:
        words = ["--model", untold, "--judge", f"qwen3guard={untold}", *words]
        code, said = evaluate(*words)
        again, found = evaluate(*words, "-J", f"qwen3guard.guard={untaught_guard}", out="other")
    assert code == 2 and "its prompts are rendered here, by the tokenizer of lamp" in said
    assert "give -J qwen3guard.guard=..." in said
    assert again == 0, found


def test_a_guards_connections_are_closed_when_the_evaluation_ends(evaluate, untaught_guard, monkeypatch):
    close, closed = EndpointClient.close, []

    async def closes(self):
        closed.append(self)
        await close(self)

    monkeypatch.setattr(EndpointClient, "close", closes)
    with serving(lists({"id": "g", "root": str(untaught_guard)}, judges())) as url:
        words = ["--model", url, "--judge", f"qwen3guard={url}", "-J", "qwen3guard.max_model_len=1024"]
        assert evaluate(*words)[0] == 0

    clients = {*closed, *(each for each in gc.get_objects() if type(each) is EndpointClient)}
    assert len(clients) > 1  # of the check before the start, and of the evaluation
    assert all(client._session is None or client._session.closed for client in clients)


GUARDS = {
    "no token ids": (lambda _: web.Response(status=400, text="give a text"), ["HTTP 400", "must take token ids"]),
    "no completions": (lambda _: web.Response(status=404), ["HTTP 404", "Qwen3Guard-Gen"]),
    "a wrong key": (lambda _: web.Response(status=401), ["HTTP 401", "--api-key-env qwen3guard=NAME"]),
    "out of memory": (lambda _: web.Response(status=500), ["no verdict within 2 s", "check the address"]),
    "another model": (judges("I like lamps."), ["a harmless conversation no verdict", "Qwen3Guard-Gen"]),
    "silence": (hangs, ["no verdict within 2 s"]),
    "a page": (lambda _: web.Response(text="<html>log in"), ["without choices[0].text", "check the address"]),
}


@pytest.mark.parametrize("kind", GUARDS)
def test_a_guard_that_does_not_judge_is_told_before_anything_starts(evaluate, untaught_guard, kind):
    handle, words = GUARDS[kind]

    with serving(judges(), ["m"]) as url, serving(lists({"id": "g", "root": str(untaught_guard)}, handle)) as guard:
        limit = 2 if any("within 2 s" in word for word in words) else 60
        settings = ["-J", f"qwen3guard.timeout_s={limit}", "-J", "qwen3guard.max_model_len=1024"]
        code, said = evaluate("--model", url, "--judge", f"qwen3guard={guard}", *settings)

    line = said.splitlines()[-1]
    assert code == 2 and f"judge qwen3guard by {guard}#g: " in line and "sinternal.guard" not in line
    for word in words:
        assert word in line


def test_a_tokenizer_that_is_no_guards_is_told(evaluate, plain_folder):
    with serving(lists({"id": "g", "root": str(plain_folder)}, judges())) as url:
        code, said = evaluate("--model", url, "--judge", f"qwen3guard={url}", "-J", "qwen3guard.max_model_len=1024")

    assert code == 2 and "does not have the guard's structure" in said and "-J qwen3guard.guard=" in said


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("url=5", "url=5: it should be a valid string"),
        ("timeout_s=a", "timeout_s=a: it should be a valid number"),
        ("strictness=lax", "strictness=lax: it should be 'strict' or 'loose'"),
        ("strictnes=loose", "it has no setting strictnes; did you mean strictness?; it has url, engine, guard"),
        ("guard=no/such/model", "by the tokenizer of no/such/model, and there is no such folder"),
        ("guard=5", "guard=5: it should be a valid string"),
    ],
)
def test_a_setting_of_the_guard_is_told(evaluate, untaught_guard, setting, said):
    with serving(lists({"id": "g", "root": str(untaught_guard)}, judges())) as url:
        code, found = evaluate("--model", url, "--judge", f"qwen3guard={url}", "-J", f"qwen3guard.{setting}")

    assert code == 2 and said in found and "Traceback" not in found
