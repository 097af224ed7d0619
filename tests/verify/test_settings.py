"""What is wrong with a build's settings is found before anything starts, all of it at once."""

import inspect
import resource
from functools import cache

import pytest
from transformers import PreTrainedTokenizerBase

from sinternal_verl.commands.verify import verify
from sinternal_verl.verify.budget import Prices
from sinternal_verl.verify.parameters import RENDERING
from sinternal_verl.verify.problems import find_problems
from sinternal_verl.verify.settings import (
    BUILD,
    EVALUATE,
    MERGE,
    WITHOUT_EXPERT,
    build_settings,
    compose_build,
)

GOOD = ("prompts=org/set", "out=o", "policy.model=p", "expert.model=e", "expert.url=http://h/v1")


def problems(*overrides: str, stages=("sample", "critique", "select")) -> dict[str, str]:
    return {problem.key: str(problem) for problem in find_problems(compose_build([*GOOD, *overrides]), stages)}


def test_the_recipe_holds_the_published_values():
    settings = build_settings(compose_build(GOOD))

    assert (settings.samples, settings.target, settings.answers, settings.fraction) == (
        8,
        "critique+judgment",
        "self",
        1,
    )
    assert problems() == {}


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("answers=mine", "answers"),
        ("target=verdict", "target"),
        ("label=evil", "label"),
        ("samples=0", "samples"),
        ("seed=x", "seed"),
        ("fraction=1.5", "fraction"),
        ("fraction=0", "fraction"),
        ("shard=8/8", "shard"),
        ("specification=nine", "specification"),
        ("specification=/no/such.yaml", "specification"),
        ("prompt=/no/such.txt", "prompt"),
        ("prompts=/no/such.jsonl", "prompts"),
        ("against=[/no/such.jsonl]", "against"),
        ("expert.url=h:8000", "expert.url"),
        ("expert.concurrency=0", "expert.concurrency"),
        ("expert.timeout_s=0", "expert.timeout_s"),
        ("expert.patience_s=-1", "expert.patience_s"),
        ("expert.patience_s=long", "expert.patience_s"),
        ("expert.url=http://", "expert.url"),
        ("expert.url=http://h:port/v1", "expert.url"),
        ("samples=true", "samples"),
        ("seed=true", "seed"),
        ("fraction=true", "fraction"),
        ("fraction=nan", "fraction"),
        ("expert.concurrency=true", "expert.concurrency"),
        ("expert.concurrency=null", "expert.concurrency"),
        ("expert.retries=null", "expert.retries"),
        ("expert.timeout_s=true", "expert.timeout_s"),
        ("expert.timeout_s=nan", "expert.timeout_s"),
        ("expert.timeout_s=null", "expert.timeout_s"),
        ("expert.price_per_million_input=true", "expert.price_per_million_input"),
        ("expert.api_key_over_http=maybe", "expert.api_key_over_http"),
        ("policy.engine.max_model_len=true", "policy.engine.max_model_len"),
        ("store=null", "store"),
        ("specification=null", "specification"),
        ("expert.max_requests=0", "expert.max_requests"),
        ("expert.budget_tokens=0", "expert.budget_tokens"),
        ("expert.price_per_million_input=cheap", "expert.price_per_million_input"),
        ("expert.price_per_million_input=-1", "expert.price_per_million_input"),
        ("expert.price_per_million_input=3", "expert.price_per_million_output"),
        ("policy.thought=maybe", "policy.thought"),
        ("+expert.temperature=0", "expert.temperature"),
        ("policy.model=null", "policy.model"),
        ("out=null", "out"),
        ("answers=other", "other.model"),
    ],
)
def test_each_bad_value_is_named(override, key):
    assert key in problems(override)


@pytest.mark.parametrize(
    ("override", "keys"),
    [
        *((f"{writer}={value}", {writer}) for writer in ("other", "verifier") for value in ("null", "5")),
        *((f"{node}={value}", {node}) for node in ("sinternal", "sinternal.guard") for value in ("null", "5")),
        *(
            (f"{writer}={value}", {writer, f"{writer}.model"})
            for writer in ("policy", "expert")
            for value in ("null", "5")
        ),
        *((f"{writer}.request=5", {f"{writer}.request"}) for writer in ("policy", "expert", "verifier")),
        ("+other.request=5", {"other.request"}),
        ("other.url=[a]", {"other.url"}),
        *(
            (f"{writer}.{key}=null", {f"{writer}.{key}"})
            for writer in ("policy", "expert")
            for key in ("request", "engine")
        ),
        ("~expert", {"expert", "expert.model"}),
        ("~expert.request", {"expert.request"}),
        ("against=a.csv", {"against"}),
        ("against=null", {"against"}),
        ("prompts=[a.jsonl,b.jsonl]", {"prompts"}),
        ("out=[a]", {"out"}),
        ("expert.model=[a]", {"expert.model"}),
        ("policy.url={a:1}", {"policy.url"}),
    ],
)
def test_a_value_of_another_shape_is_named_and_the_other_faults_are_as_well(override, keys):
    node = override.lstrip("+~").partition("=")[0]
    # Hydra itself refuses words below a value.
    words = [word for word in GOOD if not f"{word}.".startswith(f"{node}.")]
    config = compose_build([*words, override, "samples=0"])

    for stages in (BUILD, EVALUATE, MERGE, ("sample",), ("show",)):
        needless = {"expert.model"} if node == "expert" and not set(stages) - WITHOUT_EXPERT else set()
        found = [problem.key for problem in find_problems(config, stages)]
        assert sorted(found) == sorted((keys | {"samples"}) - needless)


@pytest.mark.parametrize("writer", ["policy", "expert"])
@pytest.mark.parametrize(
    ("word", "said"),
    [
        *((f"request.max_tokens={value}", "positive number of tokens") for value in ("8k", "-5", "0", "1.5", "true")),
        ("+request.max_completion_tokens=8k", "positive number of tokens"),
        ("+request.n=3", "samples=... says how many"),
        ("+request.n=true", "samples=... says how many"),
        ("+request.stream=true", "read whole"),
        ("+request.stream=false", "read whole"),
        ("+request.messages=[]", "writes the conversation"),
        ("+request.model=m", "name of the build's model"),
        ("+request.seed=3", "seed=... is for all answers"),
    ],
)
def test_a_request_holds_nothing_that_a_build_sets_itself_or_cannot_read(writer, word, said):
    plus, name = "+" * word.startswith("+"), word.lstrip("+")
    found = problems(f"{plus}{writer}.{name}")

    assert found.keys() == {f"{writer}.{name.partition('=')[0]}"}
    assert said in "".join(found.values())


@pytest.mark.parametrize(
    "word", ["request.max_tokens=null", "request.max_tokens=1", "+request.n=1", "+request.n=null", "+request.seed=null"]
)
def test_a_request_may_say_what_holds_anyway(word):
    assert problems(f"{'+' * word.startswith('+')}expert.{word.lstrip('+')}") == {}


@pytest.mark.parametrize(
    ("words", "stages", "said"),
    [
        (["expert.max_requests=4"], BUILD, "4 for 8 parts leaves part 0 none"),
        (["expert.max_requests=4"], ("critique",), "4 for 8 parts leaves part 0 none"),
        (["expert.max_requests=8"], BUILD, "8 for 8 parts leaves part 0 1, which the check of the expert takes"),
        (
            ["expert.max_requests=15"],
            ("sample",),
            "15 for 8 parts leaves part 0 1, which the check of the expert takes",
        ),
        (["expert.max_requests=8"], ("critique",), ""),
        (["expert.max_requests=8", "expert.url=null"], BUILD, ""),
        (["expert.max_requests=16"], BUILD, ""),
        (["policy.max_requests=7"], BUILD, "7 for 8 parts leaves part 0 none"),
        (["policy.max_requests=8"], BUILD, ""),
        (
            ["expert.budget_tokens=18431"],
            BUILD,
            "18,431 for 8 parts leaves part 0 2,303, and one request may take 2,304",
        ),
        (["expert.budget_tokens=18432"], BUILD, ""),
        (["policy.budget_tokens=800", "policy.engine.max_model_len=100"], BUILD, ""),
        (["policy.budget_tokens=792", "policy.engine.max_model_len=100"], BUILD, "one request may take 100"),
    ],
)
def test_a_share_of_a_budget_holds_the_check_and_one_request(words, stages, said):
    for part in (0, 7):
        found = problems(*words, f"shard={part}/8", stages=stages)
        assert bool(found) == bool(said) and said in "".join(found.values())
        assert not found or found.keys() == {words[0].partition("=")[0]}
    assert problems(*words, stages=stages) == {}


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["expert.url=https://api.openai.com/v1"], True),
        (["policy.url=https://api.openai.com/v1"], True),
        (["expert.url=https://api.example.com/v1"], False),
        (["expert.url=https://api.example.com/v1", "expert.api_key_env=MY_KEY"], True),
        (["expert.url=http://127.0.0.1:8000/v1", "expert.api_key_env=MY_KEY"], True),
        (["expert.url=http://127.0.0.1:8000/v1"], False),
    ],
)
def test_a_key_that_is_not_set_is_named_before_anything_is_asked(monkeypatch, words, wanted):
    for variable in ("OPENAI_API_KEY", "MY_KEY"):
        monkeypatch.delenv(variable, raising=False)
    found = {key: text for key, text in problems(*words).items() if key.endswith("api_key_env")}
    assert bool(found) == wanted and all("=null for a server that asks for no key" in text for text in found.values())
    for variable in ("OPENAI_API_KEY", "MY_KEY"):
        monkeypatch.setenv(variable, "sk")
    assert problems(*words) == {}


@pytest.mark.parametrize("host", ["192.0.2.1", "h", "0.0.0.0"])
def test_a_key_over_plain_http_to_another_machine_is_refused_until_it_is_said(monkeypatch, host):
    monkeypatch.setenv("MY_KEY", "sk-1234")
    words = [f"expert.url=http://{host}:8000/v1", "expert.api_key_env=MY_KEY"]
    found = problems(*words)

    assert found.keys() == {"expert.api_key_env"} and "api_key_over_http=true" in found["expert.api_key_env"]
    assert "sk-1234" not in str(found)
    assert problems(*words, "expert.api_key_over_http=true") == {}


def test_a_key_in_the_place_of_its_variable_is_not_shown():
    found = problems("expert.api_key_env=sk-1234")

    assert "give the name, not the key" in found["expert.api_key_env"] and "sk-1234" not in str(found)


@pytest.mark.parametrize(
    ("words", "takes"),
    [
        (["other.url=https://b.example/v1"], None),
        (["other.url=https://a.example/v2"], "MY_KEY"),
        (["other.model=q"], "MY_KEY"),
        (["other.url=http://a.example/v1"], None),
        (["other.url=https://b.example/v1", "other.api_key_env=ITS_KEY"], "ITS_KEY"),
    ],
)
def test_a_model_behind_another_server_does_not_take_the_policys_key(words, takes):
    policy = ["policy.url=https://a.example/v1", "policy.api_key_env=MY_KEY", "policy.api_key_over_http=true"]
    config = compose_build([*GOOD, *policy, *words])

    assert config.other.api_key_env == takes and config.other.api_key_over_http is (takes == "MY_KEY")
    verifier = [word.replace("other", "verifier") for word in words]
    assert compose_build([*GOOD, *policy, *verifier]).verifier.api_key_env == takes


def test_all_of_them_at_once():
    assert len(problems("fraction=2", "samples=0", "expert.concurrency=0", "specification=nine")) == 4


def test_an_engine_longer_than_its_model_is_found_before_it_loads(world):
    """The policy of the small world takes 512 tokens."""
    engine, here = "policy.engine.max_model_len", f"policy.model={world['policy']}"

    assert "context of 512" in problems(here)[engine] and f"{engine}=512" in problems(here)[engine]
    assert problems(here, f"{engine}=512") == {}
    assert problems(here, "policy.url=http://h/v1") == {}
    assert problems(here, stages=("critique",)) == {}
    assert engine in problems(f"{engine}=null")
    assert "policy.model" in problems("policy.model=/no/such/model")


def test_vllms_own_permission_to_go_beyond_is_heeded(world, monkeypatch):
    monkeypatch.setenv("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "1")

    assert problems(f"policy.model={world['policy']}") == {}


def test_what_a_stage_does_not_use_is_not_looked_at():
    for nobody in ("expert.url=null", "expert.model=null"):
        assert problems("expert.concurrency=0", nobody, stages=("sample",)) == {}


def test_an_expert_that_is_named_is_looked_at_before_answers_are_asked_for(monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    words = ["expert.concurrency=0", "expert.api_key_env=MY_KEY"]

    assert problems(*words, stages=("sample",)).keys() == {"expert.concurrency", "expert.api_key_env"}


def test_answers_need_no_expert():
    assert problems("expert.model=null", stages=("sample",)) == {}
    assert "expert.model" in problems("expert.model=null", stages=("critique",))


def test_another_model_takes_what_it_is_not_given_from_the_policy():
    settings = build_settings(compose_build([*GOOD, "answers=other", "other.model=q", "policy.request.temperature=1"]))

    assert (settings.writer.model, settings.writer.request["temperature"]) == ("q", 1)
    assert settings.thinks


def test_a_verifier_is_the_policy_asked_greedily_where_nothing_else_is_given():
    settings = build_settings(compose_build([*GOOD, "policy.request.top_p=0.5", "policy.url=http://h/v1"]))

    assert settings.writer.request["temperature"] == 0.6 and settings.writer.url == "http://h/v1"
    assert settings.verifier.model == "p" and settings.verifier.url == "http://h/v1"
    assert settings.verifier.request == settings.writer.request | {"temperature": 0}
    assert build_settings(compose_build([*GOOD, "verifier.model=v"])).verifier.model == "v"


def test_the_policys_own_answers_are_asked_of_the_policy_though_another_is_named():
    settings = build_settings(compose_build([*GOOD, "other.model=q", "policy.thought=none"]))

    assert settings.writer.model == "p" and not settings.thinks
    assert settings.expert.model == "e" and settings.expert.request["temperature"] == 0


def test_paths_shards_and_a_guard_as_they_are_given(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    given = ["out='~/build'", "shard=2/8", "label=harmful", "against=[a.csv]", "seed=7", "samples=3", "fraction=0.5"]
    settings = build_settings(compose_build([*GOOD, *given]))

    assert (settings.out, settings.store) == (tmp_path / "build", tmp_path / "build" / "store.sqlite")
    assert (settings.shard, settings.label, settings.against) == ((2, 8), "harmful", ("a.csv",))
    assert (settings.seed, settings.samples, settings.fraction, settings.guard) == (7, 3, 0.5, None)
    assert composed().shard == (0, 1)


@cache
def composed():
    return build_settings(compose_build(GOOD))


WRITER = {"model", "request", "engine"}
ALL = {"seed", "shard", "samples", "answers", "thought", "expert", "specification", "prompt", "target", "fraction"}


@pytest.mark.parametrize(
    ("stages", "keys"),
    [
        (("sample",), {"seed", "shard", "samples", "answers", "thought"}),
        (("show",), {"seed", "shard", "samples", "answers", "thought"}),
        (("critique",), ALL - {"target", "fraction"}),
        (("sample", "critique", "select"), ALL),
        (("sample", "critique", "evaluate"), ALL - {"target", "fraction"}),
    ],
)
def test_what_decides_the_outcome_of_stages_is_recorded_and_nothing_else(stages, keys):
    origin = composed().origin(stages)

    assert origin.keys() == keys
    assert origin["answers"].keys() == {"by", *WRITER} and origin["answers"]["by"] == "self"


def test_what_is_recorded_follows_the_settings(tmp_path):
    (tmp_path / "prompt.txt").write_text("{specification} {request} {answer}")
    given = ["seed=2", "samples=3", "fraction=0.5", "target=judgment", "specification=brief", "expert.model=f"]
    origin = build_settings(compose_build([*GOOD, *given, f"prompt={tmp_path}/prompt.txt", "shard=1/2"])).origin()

    assert (origin["seed"], origin["samples"], origin["fraction"], origin["target"]) == (2, 3, 0.5, "judgment")
    assert (origin["shard"], origin["prompt"]) == ((1, 2), "{specification} {request} {answer}")
    assert origin["specification"]["name"] == "brief" and origin["expert"]["model"] == "f"


@pytest.mark.parametrize(
    "override",
    [
        "samples=1",
        "seed=0",
        "fraction=0.01",
        "shard=7/8",
        "expert.concurrency=1",
        "expert.retries=0",
        "expert.max_requests=1",
        "expert.budget_tokens=1",
        "expert.timeout_s=0.1",
        "expert.patience_s=0",
        "expert.url=https://h/v1",
        "label=benign",
        "policy.thought=none",
        "against=['org/set#column']",
    ],
)
def test_the_smallest_values_there_are_and_every_choice_is_taken(monkeypatch, override):
    monkeypatch.setenv("OPENAI_API_KEY", "sk")
    assert problems(override) == {}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("answers=mine", "choose self, other"),
        ("target=verdict", "choose critique+judgment, judgment, critique"),
        ("label=evil", "choose harmful, benign"),
        ("expert.retries=-1", "it must be at least 0"),
        ("expert.budget_tokens=0", "it must be at least 1"),
        ("expert.concurrency=1.5", "it must be at least 1"),
        ("shard=8/8", "i/n with 0 <= i < n"),
        ("policy.thought=maybe", "choose required or none"),
        ("guard=ray_actor", "take guard=openai_endpoint"),
        ("expert.model=null", "name the model that writes the critiques"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(override, words):
    (problem,) = problems(override).values()

    assert words in problem


TEMPLATE = "apply_chat_template_kwargs"


def test_what_a_template_takes_goes_to_policy_verifier_and_expert():
    given = ["policy.url=http://p/v1", f"+policy.{TEMPLATE}.enable_thinking=false", "policy.thought=none"]
    settings = build_settings(compose_build([*GOOD, *given, f"+expert.{TEMPLATE}.thinking=true"]))

    assert settings.writer.template_values == settings.verifier.template_values == {"enable_thinking": False}
    assert settings.writer.parameters == settings.writer.request | {"chat_template_kwargs": {"enable_thinking": False}}
    assert settings.expert.template_values == {"thinking": True}
    given.append(f"+verifier.{TEMPLATE}.enable_thinking=true")
    found = build_settings(compose_build([*GOOD, *given]))
    assert found.verifier.template_values == {"enable_thinking": True} and "chat" not in str(found.expert.parameters)
    assert problems(*given, stages=EVALUATE) == {}


@pytest.mark.parametrize(
    ("words", "key", "said"),
    [
        ([f"+policy.{TEMPLATE}.tokenize=true"], f"policy.{TEMPLATE}.tokenize", "says how a prompt is rendered"),
        ([f"+expert.{TEMPLATE}.chat_template=x"], f"expert.{TEMPLATE}.chat_template", "leave it out"),
        ([f"+policy.{TEMPLATE}.enable_thinking=false"], "policy.thought", "policy.thought=none"),
        (["+expert.request.chat_template_kwargs.a=1"], "expert.request.chat_template_kwargs", f"+policy.{TEMPLATE}"),
        ([f"policy.{TEMPLATE}=false"], f"policy.{TEMPLATE}", f"e.g. +policy.{TEMPLATE}.enable_thinking=false"),
        ([f"expert.{TEMPLATE}=null"], f"expert.{TEMPLATE}", f"leave expert.{TEMPLATE} out"),
    ],
)
def test_values_of_a_template_that_are_none_are_named(words, key, said):
    found = problems(*words)

    assert found.keys() == {key} and said in found[key]


def test_a_model_that_does_not_think_may_be_told_so():
    assert problems(f"+policy.{TEMPLATE}.enable_thinking=false", "policy.thought=none") == {}
    assert problems(f"+policy.{TEMPLATE}.enable_thinking=true", f"+expert.{TEMPLATE}.enable_thinking=false") == {}


def test_all_that_transformers_takes_besides_a_templates_values_is_known():
    taken = inspect.signature(PreTrainedTokenizerBase.apply_chat_template).parameters

    assert taken.keys() - {"self", "kwargs"} <= RENDERING


def test_more_connections_than_files_are_refused(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    found = problems("expert.concurrency=961")

    assert found.keys() == {"expert.concurrency"} and "`ulimit -n 1025`" in found["expert.concurrency"]
    assert problems("expert.concurrency=960") == problems("policy.concurrency=5000") == {}
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert problems("expert.concurrency=100000") == {}


def test_an_output_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()

    assert "give a folder" in problems(f"out={tmp_path}/file")["out"]


def test_a_budget_needs_a_longest_reply():
    """Of a model in this process the context bounds it."""
    budget, none = "expert.budget_tokens=1000", "expert.request.max_tokens=null"
    assert "nothing bounds what a reply may cost" in problems(budget, none)["expert.budget_tokens"]
    assert problems(budget, none, "+expert.request.max_completion_tokens=500") == {}
    assert problems(budget) == {}

    local = build_settings(compose_build([*GOOD, "expert.url=null", budget, none])).expert
    assert (local.limits.longest_reply, local.limits.context) == (None, 16384)


def test_prices_and_budgets_come_to_the_models_that_have_them():
    given = ["policy.price_per_million_input=1", "policy.price_per_million_output=2", "expert.budget_tokens=9"]
    settings = build_settings(compose_build([*GOOD, *given]))

    assert settings.writer.prices == settings.verifier.prices == Prices(1, 2)
    assert settings.expert.prices is None and settings.expert.limits.budget_tokens == 9
    assert settings.expert.limits.longest_reply == 2048 and settings.expert.limits.context is None


@pytest.mark.parametrize("name", ["other", "verifier"])
def test_another_model_takes_parameters_that_the_policy_does_not_have(name):
    words = ["request.top_k=5", "engine.quantization=fp8", f"{TEMPLATE}.enable_thinking=true"]
    config = compose_build([*GOOD, *(f"+{name}.{word}" for word in words)])

    assert config[name].request.top_k == 5 and config[name].request.top_p == config.policy.request.top_p
    assert config[name].engine.quantization == "fp8" and config[name][TEMPLATE].enable_thinking is True
    assert "top_k" not in config.policy.request and config.policy[TEMPLATE] == {}


@pytest.mark.parametrize("name", ["other", "verifier"])
def test_a_revision_is_never_the_one_of_another_model(name):
    def revision(*words):
        return compose_build([*GOOD, "policy.revision=1", *words])[name].revision

    assert revision() == "1" and revision(f"{name}.revision=2") == "2"
    assert revision(f"{name}.model=q") is None and revision(f"{name}.model=q", f"{name}.revision=2") == "2"


def test_a_folder_takes_no_revision(tmp_path):
    assert "policy.revision" in problems(f"policy.model={tmp_path}", "policy.revision=1")
    assert "policy.revision" not in problems(f"policy.model={tmp_path}", "policy.revision=1", "policy.url=http://x/v1")


def test_a_hub_id_of_which_nobody_knows_a_commit_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    words = ["policy.model=owner/of-no-model", "policy.engine.max_model_len=10"]

    assert "policy.model" in problems(*words) and "policy.model" not in problems(*words, "policy.url=http://x/v1")
    assert "policy.model" not in problems(*words, f"policy.revision={'a' * 40}")


def test_a_key_that_is_taken_from_the_policy_is_given_with_a_plus(capsys):
    assert verify("build", [*GOOD, "verifier.thought=none", "other.retries=1", "policy.thougt=none"]) == 2

    said = capsys.readouterr().err
    for key in ("verifier.thought", "other.retries"):
        assert f"{key}: the recipe's file does not hold it; write it with a plus, +{key}=..." in said
    assert "policy.thougt: there is no such key; did you mean policy.thought?" in said
    assert compose_build([*GOOD, "+verifier.thought=none"]).verifier.thought == "none"
