"""The safety reward as plain verl functions and for TRL, over a real HTTP server that plays the guard."""

import asyncio

import pytest
from aiohttp import web
from servers import serving
from sinternal_verl.reward_fns import mixed, safety

from sinternal_verl.guard.errors import GuardUnavailable
from sinternal_verl.scoring.function import NoVerdict
from sinternal_verl.scoring.score import Outcome
from sinternal_verl.scoring.trl import TRLReward
from sinternal_verl.world.guard_model import make_guard_tokenizer

HARMLESS = "Asked.\n</think>\n\nNo, I will not."
HARMFUL = "Asked.\n</think>\n\nYes, go up at dusk."
LINES = "Safety: {}\nCategories: None\nRefusal: {}"


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guard")
    make_guard_tokenizer([LINES.format(*words) for words in (("Safe", "Yes"), ("Unsafe", "No"))] * 3).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="module")
def guard(tokenizer_folder):
    """A guard's node, whose server finds an answer with 'Yes' unsafe; one with 'broken' gets no verdict."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)

    async def handle(request):
        prompt = tokenizer.decode((await request.json())["prompt"])
        answer = prompt.partition("ASSISTANT:")[2].partition("<END CONVERSATION>")[0]
        assert "USER: May I lend the lamp?" in prompt
        text = "hm" if "broken" in answer else LINES.format(*(("Unsafe", "No") if "Yes" in answer else ("Safe", "Yes")))
        return web.json_response({"choices": [{"text": text}]})

    with serving(handle) as url:
        engine = {"model": str(tokenizer_folder), "max_model_len": 4096}
        yield {"backend": "openai_endpoint", "url": url, "engine": engine, "mode": "decode", "request_timeout_s": 5}


def compute(function, source, response, truth, guard, question="May I lend the lamp?", **settings):
    extra = {"question": question, "index": "1"}
    return asyncio.run(function.compute_score(source, response, truth, extra, guard=guard, **settings))


@pytest.mark.parametrize("function", [safety, mixed])
@pytest.mark.parametrize(
    ("label", "response", "score"),
    [("harmful", HARMLESS, 1.0), ("harmful", HARMFUL, 0.0), ("benign", HARMLESS, 0.0)],
)
def test_the_papers_rewards_without_our_manager(guard, function, label, response, score):
    fields = compute(function, f"safety/{label}/x", response, label, guard)

    assert (fields["score"], fields["acc"], fields.keys()) == (score, score, {"score", "acc", "outcome"})


@pytest.mark.parametrize("function", [safety, mixed])
@pytest.mark.parametrize(
    ("thought", "score", "outcome"), [("none", 1.0, Outcome.SAFE), ("required", 0.0, Outcome.THOUGHT_UNCLOSED)]
)
def test_a_model_that_does_not_think_is_judged_with_the_setting_for_it(guard, function, thought, score, outcome):
    fields = compute(function, "safety/harmful/x", "No, I will not.", "harmful", guard, thought=thought)

    assert (fields["score"], fields["outcome"]) == (score, float(outcome))


def test_mixed_gives_sums_to_the_boxed_answer_with_the_same_keys(guard):
    fields = compute(mixed, "math", r"</think>\boxed{85}", "85", guard, question=None)

    assert fields == {"score": 1.0, "acc": 1.0, "outcome": 1.0}


def test_what_is_no_verdict_is_an_exception_and_never_a_zero(guard):
    with pytest.raises(NoVerdict, match="unparsable: no Safety line"):
        compute(safety, "safety/harmful/x", "</think> broken", "harmful", guard)
    with pytest.raises(NoVerdict, match="bad_gold"):
        compute(safety, "safety/harmful/x", HARMLESS, "bad", guard)
    with pytest.raises(GuardUnavailable):
        nobody = guard | {"url": "http://127.0.0.1:9/v1", "request_timeout_s": 0.5}
        compute(safety, "safety/harmful/x", HARMLESS, "harmful", nobody)


def test_a_row_without_its_question_is_named(guard):
    with pytest.raises(ValueError, match=r"safety/harmful/x has no extra_info\.question"):
        compute(safety, "safety/harmful/x", HARMLESS, "harmful", guard, question=None)


def test_a_guard_that_is_not_given_is_named():
    with pytest.raises(ValueError, match="no guard is configured"):
        compute(safety, "safety/harmful/x", HARMLESS, "harmful", None)


def test_trls_signature_takes_strings_and_messages_and_gives_none_for_no_verdict(guard):
    reward = TRLReward({"safety": {"sources": ["safety/*"], "guard": guard}, "boxed_math": {"sources": ["*"]}})
    asked = "May I lend the lamp?"
    rows = [
        (asked, HARMLESS, "safety/harmful/x", "harmful"),
        (
            [{"role": "user", "content": asked}],
            [{"role": "assistant", "content": HARMFUL}],
            "safety/harmful/x",
            "harmful",
        ),
        (asked, "</think> broken", "safety/benign/x", "benign"),
        ("47+38?", r"</think> \boxed{85}", "math", "85"),
    ]
    prompts, completions, sources, truths = map(list, zip(*rows, strict=True))
    columns = {"data_source": sources, "reward_model": [{"ground_truth": truth} for truth in truths]}

    # TRL hands over all of a dataset's columns, and more.
    for _ in range(2):
        assert reward(prompts, completions, **columns, trainer_state=None) == [1.0, 0.0, None, 1.0]
    assert reward.__name__.startswith("safety+boxed_math")
