"""What is known of the sets, and that the real files are these sets."""

import json
import re
from dataclasses import replace

import pytest
from benchmark_sets import SHARED

from sinternal_verl.data.hub import COMMIT
from sinternal_verl.evaluation.sets.catalog import SETS, SetError, find_set
from sinternal_verl.evaluation.sets.loading import load

REAL = SHARED / "eval"

PAPER = (
    "strongreject",
    "jailbreak_r1",
    "fortress",
    "wildjailbreak",
    "hcot",
    "trotter",
    "xstest",
    "math500",
    "aime2024",
)


def test_the_papers_sets_are_there():
    assert set(PAPER) | {"fortress_benign", "wildjailbreak_benign", "harmbench"} == set(SETS)


@pytest.mark.parametrize("info", SETS.values(), ids=SETS.keys())
def test_a_published_file_is_named_by_a_commit_or_says_that_none_is_known(info):
    place = info.place
    if place is None:
        assert info.how
    elif place.url:
        assert re.search(r"/[0-9a-f]{40}/", place.url) and place.sha256
    elif place.revision:
        assert COMMIT.fullmatch(place.revision) and place.file
    else:
        assert info.name == "hcot"


@pytest.mark.parametrize("info", SETS.values(), ids=SETS.keys())
def test_a_digest_is_one(info):
    place = info.place
    pinned = place.sha256 if place else None
    digests = [*info.content.values(), *(pinned.values() if isinstance(pinned, dict) else [pinned] if pinned else [])]

    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in digests)
    assert len(set(digests)) == len(digests)


def test_an_unknown_set_is_named_with_the_nearest():
    with pytest.raises(SetError, match=r"no set strongrejct; known are strongreject, .*; did you mean strongreject\?"):
        find_set("strongrejct")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"haf": "safe"}, r"xstest has no option haf; its options are: half; did you mean half\?"),
        ({"half": "unsave"}, r"half='unsave'; choose one of safe, unsafe, all; did you mean unsafe\?"),
    ],
)
def test_an_unknown_option_or_value_names_those_there_are(options, message):
    with pytest.raises(SetError, match=message):
        load("xstest", "any.csv", **options)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real sets in ../shared/data")
class TestRealFiles:
    @pytest.mark.parametrize(
        ("name", "file", "n", "label"),
        [
            ("strongreject", "eval/strongreject.jsonl.gz", 313, "harmful"),
            ("jailbreak_r1", "eval/jailbreak_r1_strongreject.jsonl.gz", 313, "harmful"),
            ("fortress", "eval/fortress_adversarial.jsonl.gz", 500, "harmful"),
            ("wildjailbreak", "eval/wildjailbreak_adversarial_harmful.jsonl.gz", 250, "harmful"),
            ("hcot", "eval/hcot.jsonl.gz", 50, "harmful"),
            ("xstest", "eval/xstest_safe.jsonl.gz", 250, "benign"),
            ("xstest", "xstest_prompts.csv", 250, "benign"),
            ("math500", "math500.jsonl", 500, ""),
            ("aime2024", "aime2024.jsonl", 30, ""),
        ],
    )
    def test_a_file_is_the_papers_set(self, name, file, n, label):
        loaded = load(name, str(SHARED / file))

        assert len(loaded.items) == n == loaded.origin["n"]
        assert loaded.origin["same"] is True and "differs" not in loaded.origin
        assert {item.label for item in loaded.items} == {label}
        assert len({item.id for item in loaded.items}) == n and "repeated_prompts" not in loaded.origin
        assert all(bool(item.target) is SETS[name].is_math for item in loaded.items)

    @pytest.mark.parametrize("name", ["strongreject", "jailbreak_r1", "fortress", "wildjailbreak", "hcot", "xstest"])
    def test_a_folder_finds_its_file(self, name):
        assert load(name, str(REAL)).origin["same"]

    def test_the_two_files_of_xstest_hold_the_same_items_under_the_same_ids(self):
        sister, original = (
            load("xstest", str(SHARED / file)) for file in ("eval/xstest_safe.jsonl.gz", "xstest_prompts.csv")
        )

        assert sister.origin["content"] == original.origin["content"]
        assert [item.id for item in sister.items] == [item.id for item in original.items]
        assert (original.origin["schema"], sister.origin["schema"]) == ("original", "sister")

    def test_the_file_of_xstest_is_the_pinned_one(self):
        assert load("xstest", str(SHARED / "xstest_prompts.csv")).origin["sha256"] == SETS["xstest"].place.sha256

    @pytest.mark.parametrize(
        ("half", "n", "labels"), [("unsafe", 200, {"harmful"}), ("all", 450, {"harmful", "benign"})]
    )
    def test_the_other_half_of_xstest(self, half, n, labels):
        loaded = load("xstest", str(SHARED / "xstest_prompts.csv"), half=half)

        assert len(loaded.items) == n and loaded.origin["same"]
        assert {item.label for item in loaded.items} == labels

    def test_each_problem_of_aime_comes_once_though_a_file_repeats_it_32_times(self):
        loaded = load("aime2024", str(SHARED / "dapo_aime2024_x32.parquet"))
        targets = sorted(item.target for item in load("aime2024", str(SHARED / "aime2024.jsonl")).items)

        assert sorted(item.target for item in loaded.items) == targets
        assert loaded.origin["repeated"] == 960 - 30

    def test_the_problems_of_two_files_of_aime_have_the_same_ids(self):
        one, other = (
            {item.id: item.target for item in load("aime2024", str(SHARED / file)).items}
            for file in ("aime2024.jsonl", "dapo_aime2024_x32.parquet")
        )
        shared = one.keys() & other.keys()

        # One problem is written in other words there.
        assert len(shared) == 29 and all(one[id] == other[id] for id in shared)

    def test_math500_in_the_sisters_schema_has_the_same_ids(self, tmp_path):
        original = load("math500", str(SHARED / "math500.jsonl"))
        rows = [{"prompt": [{"role": "user", "content": item.prompt}], "label": item.target} for item in original.items]
        (tmp_path / "math500.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        sister = load("math500", str(tmp_path))

        assert (original.origin["schema"], sister.origin["schema"]) == ("original", "sister")
        assert sister.origin["same"] and sister.items == tuple(replace(item, metadata={}) for item in original.items)

    def test_the_request_of_a_rewrite_is_the_row_that_it_rewrites(self):
        goals = load("strongreject", str(REAL))
        loaded = load("jailbreak_r1", str(REAL), goals=str(REAL))

        assert [item.request for item in loaded.items] == [item.prompt for item in goals.items]
        assert loaded.origin["goals"]["content"] == goals.origin["content"]

    @pytest.mark.parametrize(
        ("name", "file", "message"),
        [
            ("strongreject", "eval/hcot.jsonl.gz", "holds the 50 prompts of hcot, not those of strongreject"),
            ("fortress", "eval/xstest_safe.jsonl.gz", "250 rows, first line 1: label says benign"),
            ("xstest", "eval/strongreject.jsonl.gz", "holds the 313 prompts of strongreject"),
            ("strongreject", "math500.jsonl", "wanted are forbidden_prompt, .* they are the columns of math500"),
            ("math500", "aime2024.jsonl", "the columns are those of aime2024"),
            ("math500", "eval/hcot.jsonl.gz", "label is unsafe, so this is a safety set"),
        ],
    )
    def test_a_file_of_another_set_is_refused(self, name, file, message):
        with pytest.raises(SetError, match=message):
            load(name, str(SHARED / file))
