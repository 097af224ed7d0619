"""What a model may be on the command line."""

import pytest
from aiohttp import web
from servers import serving

pytest.importorskip("inspect_ai")

from sinternal_verl.evaluation.running.models import asked_server, choice_problems, open_model, plain, read_choice


@pytest.mark.parametrize(
    ("given", "kind", "name", "revision"),
    [
        ("Qwen/Qwen3-8B", "hub", "Qwen/Qwen3-8B", None),
        ("Qwen/Qwen3-8B@b968826d", "hub", "Qwen/Qwen3-8B", "b968826d"),
        ("openai/gpt-4o", "inspect", "openai/gpt-4o", None),
        ("mockllm/model", "inspect", "mockllm/model", None),
        ("hub:openai/gpt-oss-20b", "hub", "openai/gpt-oss-20b", None),
        ("https://host/v1/#a/b", "server", "a/b", None),
        ("http://host:8000/v1", "server", "", None),
    ],
)  # fmt: skip
def test_what_the_words_name(given, kind, name, revision):
    choice = read_choice(given)

    assert (choice.kind, choice.name, choice.revision) == (kind, name, revision)


@pytest.mark.parametrize("given", ["nowhere", "a/b/c/d", "hub:x", ""])
def test_words_that_name_no_model_are_told_what_they_may_be(given):
    with pytest.raises(ValueError, match="hub id"):
        read_choice(given)


def test_a_folder_is_a_folder_even_where_it_looks_like_a_hub_id(tmp_path, monkeypatch):
    (tmp_path / "openai" / "gpt-4o").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    assert read_choice("openai/gpt-4o").kind == "folder"


def test_a_path_that_is_not_there_is_not_sought_on_the_hub(tmp_path, monkeypatch):
    (tmp_path / "outputs").mkdir()
    monkeypatch.chdir(tmp_path)

    (problem,) = choice_problems(read_choice("outputs/verifier"))
    assert "no such folder" in problem


@pytest.mark.parametrize(
    ("given", "key", "said"),
    [
        ("http://192.0.2.1/v1#a", "EVAL_KEY", "over plain http"),
        ("http://user:secret@127.0.0.1/v1#a", None, "holds a login"),
        ("http://127.0.0.1/v1#a", "NO_SUCH_KEY", "not set"),
        ("http:///v1", None, "no address"),
        ("mockllm/model", "EVAL_KEY", "leave --api-key-env out"),
    ],
)
def test_a_key_goes_only_where_it_may(monkeypatch, given, key, said):
    monkeypatch.setenv("EVAL_KEY", "abcdefghij")

    (problem,) = choice_problems(read_choice(given, key))
    assert said in problem and "abcdefghij" not in problem and "secret" not in problem


def test_a_provider_without_its_key_is_told_before_anything_starts(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    (problem,) = choice_problems(read_choice("openai/gpt-4o"))
    assert "OPENAI_API_KEY" in problem and "[bold]" not in problem


async def _refuse(request: web.Request) -> web.Response:
    return web.Response(status=401)


@pytest.mark.parametrize("name", ["owner/name", "/abs/folder"])
def test_inspects_provider_that_cannot_be_greedy_is_refused_with_what_to_give(name):
    (said,) = choice_problems(read_choice(f"hf/{name}"))

    assert said.startswith(f"hf/{name}: ") and f"give {name}, which vLLM serves" in said


def test_a_servers_only_model_needs_no_name():
    with serving(_refuse, ["lamp"]) as url:
        assert asked_server(read_choice(url)).name == "lamp"


@pytest.mark.parametrize(
    ("models", "name", "said"),
    [
        (["a", "b"], "", "it has a, b; name one"),
        (["a", "b"], "#c", "it has no model c; it has a, b"),
        (None, "#a", "HTTP 401.*give its key by --api-key-env"),
    ],
)
def test_a_server_that_lacks_the_model_says_what_it_has(models, name, said):
    with serving(_refuse, models) as url, pytest.raises(ValueError, match=said):
        asked_server(read_choice(url + name))


def test_nobody_at_the_address():
    with pytest.raises(ValueError, match="Connection refused"):
        asked_server(read_choice("http://127.0.0.1:9/v1#a"))


def test_a_key_is_in_no_record(monkeypatch):
    monkeypatch.setenv("EVAL_KEY", "abcdefghij")
    choice = read_choice("http://127.0.0.1:9/v1#a", "EVAL_KEY")

    model = open_model(choice, 4)

    assert model.api.api_key == "abcdefghij" and str(model) == "sinternal_server/a"
    assert "abcdefghij" not in repr(choice) + str(choice.origin())
    assert "api_key" not in str(choice.origin())


def test_where_a_server_is_does_not_tell_models_apart():
    """A server that was started anew has another port, and the same command goes on."""
    one, other = (read_choice(f"http://127.0.0.1:{port}/v1#a") for port in (1, 2))

    assert one.origin() == other.origin()


def test_inspects_marks_are_taken_off():
    assert plain("ERROR: No [bold][blue]KEY[/blue][/bold]\n\nset") == "No KEY set"
