"""The paper's selection over stored replies: pairs where answers differ, one where it is benign, seeded."""

from collections import Counter
from dataclasses import replace

import pytest

from sinternal_verl.verify.build import Build
from sinternal_verl.verify.requests import Prompt
from sinternal_verl.verify.select import Selection
from sinternal_verl.verify.settings import build_settings, compose_build
from sinternal_verl.verify.store import Reply, Store

SAFE, UNSAFE = "It refuses.\nVerdict: safe", "It lends.\nVerdict: unsafe"


@pytest.fixture
def build(tmp_path):
    config = compose_build(
        ["prompts=p.jsonl", f"out={tmp_path}", "policy.model=p", "expert.model=e", "expert.url=http://x/v1"]
    )
    with Store(tmp_path / "store.sqlite") as store:
        yield Build(build_settings(config), store)


def prompt(text: str = "Lend it?", harm: str = "harmful") -> Prompt:
    return Prompt(text, harm, f"safety/{harm}/orla", "1")


def answer(build: Build, asked: Prompt, *critiques: str | Reply | None, text: str = "Answer {}") -> None:
    """Store one answer for each critique, and the critique."""
    for request in build.answer_requests([asked]):
        number = list(build.answer_requests([asked])).index(request)
        if number < len(critiques):
            build._store.add(request.key, Reply(f"Thought {number}\n</think>\n\n{text.format(number)}"))
    for said, request in zip(critiques, build.critique_requests([asked]), strict=True):
        if said is not None:
            build._store.add(request.key, said if isinstance(said, Reply) else Reply(said))


def verdicts(build, *prompts, **options) -> list[str]:
    return [example.critique.verdict for example in Selection(build, prompts, seed=1, **options)]


def test_a_harmful_prompt_with_both_kinds_gives_one_of_each(build):
    answer(build, prompt(), SAFE, SAFE, UNSAFE, UNSAFE, UNSAFE, SAFE, SAFE, SAFE)

    assert verdicts(build, prompt()) == ["safe", "unsafe"]


@pytest.mark.parametrize(("said", "became"), [(SAFE, "safe alone"), (UNSAFE, "unsafe alone"), ("Hm.", "no verdict")])
def test_a_harmful_prompt_with_one_kind_is_left_out_and_counted(build, said, became):
    answer(build, prompt(), *[said] * 8)
    selection = Selection(build, [prompt()], seed=1)

    assert list(selection) == [] and selection.counts[f"prompts/harmful/{became}"] == 1


@pytest.mark.parametrize("said", [SAFE, UNSAFE])
def test_a_benign_prompt_gives_one(build, said):
    asked = prompt("Mend the nets?", "benign")
    answer(build, asked, *[said] * 8)

    assert len(verdicts(build, asked)) == 1


def test_the_example_holds_the_thought_apart_and_the_verifier_never_sees_it(build):
    answer(build, prompt(), SAFE, UNSAFE, None, None, None, None, None, None)
    pair = list(Selection(build, [prompt()], seed=1))

    assert [(e.answer.thought, e.answer.text) for e in pair] == [("Thought 0", "Answer 0"), ("Thought 1", "Answer 1")]
    for example in pair:
        read = build.verification(example.prompt, example.answer)
        assert example.answer.text in read and "Thought" not in read


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply("No thought's end"), "thought never ends"),
        (Reply("Hm.</think> "), "empty answer"),
        (Reply("Hm.</think> And then", finish="length"), "answer cut"),
        (Reply("", finish="refused"), "the server refused to answer"),
    ],
)
def test_an_answer_that_is_none_is_not_shown_to_the_expert_and_is_counted(build, reply, reason):
    (first, *_) = build.answer_requests([prompt()])
    build._store.add(first.key, reply)
    selection = Selection(build, [prompt()], seed=1)

    assert list(build.critique_requests([prompt()])) == [] and list(selection) == []
    assert selection.counts[f"answers/{reason}"] == 1 and selection.counts["answers/no answer yet"] == 7


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (None, "no critique yet"),
        (Reply("It lends.", finish="length"), "critique cut"),
        (Reply("I will not.", finish="refused"), "the expert refused"),
        ("It lends.", "no verdict"),
        (f"{SAFE}\n{UNSAFE}", "several verdicts"),
    ],
)
def test_a_critique_that_is_none_is_counted_and_never_guessed(build, said, reason):
    answer(build, prompt(), SAFE, UNSAFE, *[said] * 6)
    selection = Selection(build, [prompt()], seed=1)

    assert [example.answer.sample for example in selection] == [0, 1]
    assert selection.counts[f"critiques/{reason}"] == 6


def test_a_thought_of_the_experts_own_is_no_part_of_its_critique(build):
    answer(build, prompt(), f"Verdict: unsafe? No.</think>{SAFE}", UNSAFE, *[None] * 6)

    assert [e.critique.text for e in Selection(build, [prompt()], seed=1)] == ["It refuses.", "It lends."]


def test_equal_answers_share_a_critique(build):
    for request in build.answer_requests([prompt()]):
        build._store.add(request.key, Reply("Hm.</think>The same."))

    assert len({request.key for request in build.critique_requests([prompt()])}) == 1


def test_the_choice_hangs_on_seed_and_prompt_alone(build):
    asked = [prompt(f"Lend lamp {n}?") for n in range(40)]
    for one in asked:
        answer(build, one, *[SAFE, UNSAFE] * 4)

    def chosen(prompts, seed=1, **options):
        return {(e.prompt.text, e.answer.sample) for e in Selection(build, prompts, seed, **options)}

    assert chosen(asked) == chosen(asked[::-1]) == chosen(asked[:20]) | chosen(asked[20:])
    assert chosen(asked) != chosen(asked, seed=2)
    assert len(Counter(sample for _, sample in chosen(asked))) == 8
    half = chosen(asked, fraction=0.5)
    assert half < chosen(asked) and len(half) == 40
    assert half == chosen(asked[::-1], fraction=0.5)


def test_another_specification_asks_the_expert_again_and_keeps_the_answers(build):
    answer(build, prompt(), *[SAFE, UNSAFE] * 4)
    other = Build(
        replace(build._settings, specification=replace(build._settings.specification, text="x")), build._store
    )

    assert [r.key for r in other.answer_requests([prompt()])] == [r.key for r in build.answer_requests([prompt()])]
    assert all(request.key not in build._store for request in other.critique_requests([prompt()]))
