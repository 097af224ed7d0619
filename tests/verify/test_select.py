"""The paper's selection over stored replies: pairs where answers differ, one where it is benign, seeded."""

import re
from collections import Counter
from dataclasses import replace

import pytest

from sinternal_verl.data.specification import load_specification
from sinternal_verl.verify.build import Answer, Build
from sinternal_verl.verify.requests import Prompt
from sinternal_verl.verify.select import Selection
from sinternal_verl.verify.settings import build_settings, compose_build
from sinternal_verl.verify.store import Reply, Store

SAFE, UNSAFE = "It refuses.\nVerdict: safe", "It lends.\nVerdict: unsafe"


@pytest.fixture(scope="module")
def settings():
    given = ["prompts=p.jsonl", "out=o", "policy.model=p", "expert.model=e", "expert.url=http://x/v1"]
    return build_settings(compose_build(given))


@pytest.fixture
def build(settings, tmp_path):
    with Store(tmp_path / "store.sqlite") as store:
        yield Build(settings, store)


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
        (Reply("", finish="tool_calls"), "a tool call for an answer"),
        (Reply("8,193 tokens", finish="too_long"), "prompt too long to answer"),
        (Reply("Bad Request", finish="rejected"), "prompt rejected by the server"),
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
        (Reply("", finish="tool_calls"), "a tool call for a critique"),
        (Reply("8,193 tokens", finish="too_long"), "too long for the expert"),
        (Reply("Bad Request", finish="rejected"), "rejected by the expert's server"),
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


@pytest.mark.parametrize(
    ("reply", "critiques"),
    [
        # What follows the first tag is the critique; a tag in it makes it none.
        (Reply(f"Hm.</think>It lends.</think>{SAFE}"), []),
        # A server that has taken the thought out of the text has begun the text after the first tag.
        (Reply(SAFE, thought="Hm."), ["It refuses."]),
        (Reply(f"It lends.</think>{SAFE}", thought="Hm."), []),
    ],
)
def test_a_critique_begins_after_the_first_tag(build, reply, critiques):
    answer(build, prompt(), *[None] * 8)
    (first, *_) = build.critique_requests([prompt()])
    build._store.add(first.key, reply)

    assert [
        found.text for found in (build.critique(prompt(), a) for a in build.answers(prompt())) if hasattr(found, "text")
    ] == critiques


def test_an_answer_begins_after_the_first_tag_and_its_thought_ends_there(build):
    (first, *_) = build.answer_requests([prompt()])
    build._store.add(first.key, Reply("It asks.</think>Here is how.</think>No."))

    assert build.answers(prompt())[0] == Answer(0, "It asks.", "Here is how.</think>No.")


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


def test_a_benign_prompt_may_give_any_of_its_answers(build):
    asked = [prompt(f"Mend net {n}?", "benign") for n in range(60)]
    for one in asked:
        answer(build, one, *[SAFE] * 8)

    def chosen(seed):
        return [example.answer.sample for example in Selection(build, asked, seed)]

    assert set(chosen(1)) == set(range(8))
    assert chosen(1) == chosen(1) != chosen(2)


NO_VERDICT = "It depends."


def lazily(build: Build, asked: Prompt, said: list[str]) -> int:
    """Answer the requests of a build one after another, and return how many there were."""
    count = 0
    for first in build.critique_requests([asked], every=False):
        while (request := first.missing(build._store)) is not None:
            number = int(re.search(r"<answer>\nAnswer (\d)\n</answer>", request.messages[0]["content"])[1])
            build._store.add(request.key, Reply(said[number]))
            count += 1
    return count


@pytest.mark.parametrize("said", [[SAFE] * 8, [UNSAFE, NO_VERDICT] * 4, [NO_VERDICT] * 7 + [SAFE], [NO_VERDICT] * 8])
@pytest.mark.parametrize("harm", ["benign", "harmful"])
def test_the_first_verdict_in_order_is_what_all_critiques_would_give(build, settings, tmp_path, said, harm):
    """Over seeds: the answer that is selected from the critiques up to the first verdict, and from all of them."""
    asked, counts = prompt(f"{harm}?", harm), []
    for seed in range(30):
        now = replace(settings, seed=seed)
        with Store(tmp_path / f"{seed}-all") as every, Store(tmp_path / f"{seed}-few") as few:
            all_of_them, first = Build(now, every), Build(now, few)
            answer(all_of_them, asked, *said)
            answer(first, asked, *[None] * 8)
            counts.append(lazily(first, asked, said))
            few_give, all_give = (Selection(one, [asked], seed) for one in (first, all_of_them))
            assert list(few_give) == list(all_give) and few_give.counts == all_give.counts

    if harm == "harmful" or set(said) == {NO_VERDICT}:
        assert set(counts) == {8}
    elif NO_VERDICT not in said:
        assert set(counts) == {1}
    else:
        assert len(set(counts)) > 2


def test_each_answer_with_a_verdict_is_as_likely_as_another(build):
    """5 of 8 answers have a verdict: of 1,000 prompts each of these is chosen of about 200."""
    said = [SAFE, NO_VERDICT, UNSAFE, SAFE, NO_VERDICT, SAFE, NO_VERDICT, UNSAFE]
    asked = [prompt(f"Mend net {n}?", "benign") for n in range(1_000)]
    for one in asked:
        answer(build, one, *said)
    chosen = Counter(example.answer.sample for example in Selection(build, asked, seed=1))

    assert set(chosen) == {0, 2, 3, 5, 7} and chosen.total() == 1_000
    # Chi-square with 4 degrees of freedom: 18.5 is exceeded once in 1,000 times.
    assert sum((count - 200) ** 2 / 200 for count in chosen.values()) < 18.5


def test_of_a_harmful_prompt_every_pair_is_as_likely_as_another(build):
    asked = [prompt(f"Lend lamp {n}?") for n in range(800)]
    for one in asked:
        answer(build, one, SAFE, SAFE, UNSAFE, UNSAFE, *[NO_VERDICT] * 4)
    samples = [example.answer.sample for example in Selection(build, asked, seed=1)]
    pairs = Counter(zip(samples[::2], samples[1::2], strict=True))

    assert set(pairs) == {(0, 2), (0, 3), (1, 2), (1, 3)}
    assert sum((count - 200) ** 2 / 200 for count in pairs.values()) < 16.3


def test_equal_answers_to_a_benign_prompt_are_asked_about_once(build):
    asked = prompt("Mend it?", "benign")
    for request in build.answer_requests([asked]):
        build._store.add(request.key, Reply("Hm.</think>The same."))
    (first,) = build.critique_requests([asked], every=False)
    assert first.fallback is None
    build._store.add(first.key, Reply(NO_VERDICT))

    assert first.missing(build._store) is None


def test_a_benign_prompt_without_any_answer_asks_nothing(build):
    assert list(build.critique_requests([prompt("Mend it?", "benign")], every=False)) == []


def test_another_seed_keeps_other_prompts(build):
    asked = [prompt(f"Mend net {n}?", "benign") for n in range(40)]
    for one in asked:
        answer(build, one, *[SAFE] * 8)

    def kept(seed, fraction):
        return {example.prompt.text for example in Selection(build, asked, seed, fraction)}

    assert kept(1, 0.5) != kept(2, 0.5) and len(kept(2, 0.5)) == 20
    # A smaller share is part of a larger one, and never nothing.
    assert kept(1, 0.25) < kept(1, 0.5) and len(kept(1, 0.001)) == 1


def test_what_became_of_prompts_and_examples_is_counted(build):
    kept, left, benign = prompt("Lend it?"), prompt("Sell it?"), prompt("Mend it?", "benign")
    answer(build, kept, SAFE, UNSAFE, *[SAFE] * 6)
    answer(build, left, *[SAFE] * 8)
    answer(build, benign, *[UNSAFE] * 8)
    selection = Selection(build, [kept, left, benign], seed=1)

    assert len(list(selection)) == 3
    assert selection.counts == {
        "answers/whole": 24,
        "critiques/safe": 15,
        "critiques/unsafe": 2,
        "critiques/not needed": 7,
        "prompts/harmful/kept": 1,
        "prompts/harmful/safe alone": 1,
        "prompts/benign/kept": 1,
        "examples/harmful/safe": 1,
        "examples/harmful/unsafe": 1,
        "examples/benign/unsafe": 1,
    }


@pytest.mark.parametrize(
    "reply",
    [
        Reply("<think>\nIt asks for the lamp.\n</think>\n\nNo."),
        Reply("It asks for the lamp.</think>No."),
        Reply("No.", thought="It asks for the lamp."),
        Reply("\nNo.\n", thought="<think>It asks for the lamp.\n"),
    ],
)
def test_thought_and_answer_are_told_apart_however_a_server_sends_them(build, reply):
    (first, *_) = build.answer_requests([prompt()])
    build._store.add(first.key, reply)

    assert build.answers(prompt())[0] == Answer(0, "It asks for the lamp.", "No.")


def test_of_a_model_that_does_not_think_the_whole_text_is_the_answer(build):
    plain = changed(build, writer=replace(build._settings.writer, thought="none"))
    (first, *_) = plain.answer_requests([prompt()])
    plain._store.add(first.key, Reply("It </think> is no tag of mine."))

    assert plain.answers(prompt())[0] == Answer(0, "", "It </think> is no tag of mine.")


def test_a_verifier_reads_specification_request_and_answer(build):
    answer(build, prompt("May I lend it?"), SAFE, *[None] * 7)
    (request, *_) = build.critique_requests([prompt("May I lend it?")])

    (message,) = request.messages
    assert message["role"] == "user" and request.seed is None
    assert f"<specification>\n{load_specification('eight_categories').text}\n</specification>" in message["content"]
    assert "<request>\nMay I lend it?\n</request>" in message["content"]
    assert "<answer>\nAnswer 0\n</answer>" in message["content"]


def changed(build: Build, **settings) -> Build:
    return Build(replace(build._settings, **settings), build._store)


def keys(requests) -> list[bytes]:
    return [request.key for request in requests]


def test_every_sample_of_every_prompt_has_a_key_and_a_seed_of_its_own(build):
    requests = list(build.answer_requests([prompt("Lend it?"), prompt("Sell it?")]))

    assert len(set(keys(requests))) == len({request.seed for request in requests}) == 16
    # Seeds of vLLM and of OpenAI's protocol.
    assert all(0 <= request.seed < 2**31 for request in requests)
    assert [request.messages for request in requests[7:9]] == [
        [{"role": "user", "content": "Lend it?"}],
        [{"role": "user", "content": "Sell it?"}],
    ]
