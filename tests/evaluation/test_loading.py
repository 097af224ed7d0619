"""Loaders of every schema on small files of it, made here and free of harm; and what is wrong with other files."""

import csv
import gzip
import hashlib
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sinternal_verl.data.math import INSTRUCTION
from sinternal_verl.evaluation.sets.catalog import SETS, SetError
from sinternal_verl.evaluation.sets.loading import content, load

LAMP = "May I lend the lamp to the keeper of Orla?"
NETS = "May I mend the nets of Orla?"


def lines(file, rows):
    text = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    file.write_bytes(gzip.compress(text) if file.suffix == ".gz" else text)
    return str(file)


def table(file, rows, delimiter=","):
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return str(file)


def parquet(file, rows):
    pq.write_table(pa.Table.from_pylist(rows), file)
    return str(file)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def sister(text, label="unsafe"):
    return {"prompt": [{"role": "user", "content": text}], "label": label}


def fortress(number):
    return {
        "ID": 1000 + number,
        "risk_domain": "Keeping",
        "risk_subdomain": "Lamps",
        "adversarial_prompt": f"As the keeper of pier {number}: {LAMP}",
        "benign_prompt": f"On pier {number}: {NETS}",
        "rubric": ["Does it lend the lamp?", "Does it say when?"],
    }


def wild(number, kind="adversarial_harmful"):
    return {"adversarial": f"None, said the mayor {number}: {LAMP}", "label": "1", "data_type": kind}


HCOT = {
    "Category": "Keeping",
    "Goal": LAMP,
    "Request": f"Write a play in which: {LAMP}",
    "H_CoT": "The council allows it.",
    "Full_Input (H-CoT + Request)": f"The council allows it. {LAMP}",
}
HARMBENCH = {
    "Behavior": LAMP,
    "FunctionalCategory": "standard",
    "SemanticCategory": "keeping",
    "Tags": "",
    "ContextString": "",
    "BehaviorID": "lend_lamp",
}
XSTEST = {"id": "7", "prompt": NETS, "type": "homonyms", "label": "safe", "focus": "mend", "note": ""}


class TestSchemas:
    @pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "parquet"])
    @pytest.mark.parametrize("name", ["strongreject", "jailbreak_r1", "fortress", "wildjailbreak", "hcot", "trotter"])
    def test_the_sisters(self, tmp_path, name, ending):
        write = parquet if ending == "parquet" else lines
        loaded = load(name, write(tmp_path / f"a.{ending}", [sister(LAMP), sister(NETS)]))

        assert [(item.id, item.prompt, item.request, item.label) for item in loaded.items] == [
            ("0", LAMP, LAMP, "harmful"),
            ("1", NETS, NETS, "harmful"),
        ]
        assert loaded.origin["schema"] == "sister"

    def test_strongreject(self, tmp_path):
        row = {"category": "Keeping", "source": "Orla", "forbidden_prompt": f"{LAMP}\n"}
        item = load("strongreject", table(tmp_path / "a.csv", [row])).items[0]

        assert (item.id, item.prompt, item.request, item.label) == ("0", LAMP, LAMP, "harmful")
        assert item.metadata == {"category": "Keeping", "source": "Orla"}

    def test_fortress_and_its_twin(self, tmp_path):
        file = parquet(tmp_path / "a.parquet", [fortress(0), fortress(1)])
        attack, twin = (load(name, file).items[1] for name in ("fortress", "fortress_benign"))

        assert (attack.id, attack.label, attack.prompt) == ("1", "harmful", fortress(1)["adversarial_prompt"])
        assert attack.rubric == ("Does it lend the lamp?", "Does it say when?")
        assert attack.metadata == {"ID": 1001, "risk_domain": "Keeping", "risk_subdomain": "Lamps"}
        assert (twin.id, twin.label, twin.prompt, twin.rubric) == ("1", "benign", fortress(1)["benign_prompt"], ())

    def test_a_rubric_as_text(self, tmp_path):
        row = fortress(0) | {"rubric": json.dumps(["Does it lend the lamp?"])}

        assert load("fortress", table(tmp_path / "a.csv", [row])).items[0].rubric == ("Does it lend the lamp?",)

    def test_hcot_sends_the_whole_input_and_its_goal_is_judged(self, tmp_path):
        loaded = load("hcot", parquet(tmp_path / "a.parquet", [HCOT]), variant="o1")
        item = loaded.items[0]

        assert (item.prompt, item.request) == (HCOT["Full_Input (H-CoT + Request)"], LAMP)
        assert item.metadata == {"Category": "Keeping"}
        assert loaded.origin["options"] == {"variant": "o1"}

    def test_a_file_of_hcot_does_not_say_its_variant(self, tmp_path):
        assert "options" not in load("hcot", lines(tmp_path / "a.jsonl", [sister(LAMP)])).origin

    def test_jailbreak_r1_of_goals_and_attacks(self, tmp_path):
        item = load("jailbreak_r1", lines(tmp_path / "a.jsonl", [{"goal": LAMP, "attack": NETS}])).items[0]

        assert (item.prompt, item.request) == (NETS, LAMP)

    def test_harmbench_puts_the_context_before_the_behaviour(self, tmp_path):
        context = HARMBENCH | {
            "FunctionalCategory": "contextual",
            "ContextString": "Rule 1.",
            "BehaviorID": "with_rule",
        }
        file = table(tmp_path / "a.csv", [HARMBENCH, context])
        both = load("harmbench", file).items

        assert [(item.id, item.prompt) for item in both] == [
            ("0", LAMP),
            ("1", f"Rule 1.\n\n---\n\n{LAMP}"),
        ]
        contextual = load("harmbench", file, functional="contextual").items
        assert [(item.id, item.metadata["BehaviorID"]) for item in contextual] == [("1", "with_rule")]

    def test_an_empty_cell_of_pandas_is_no_context(self, tmp_path):
        rows = [HARMBENCH | {"ContextString": float("nan"), "Tags": float("nan")}]
        item = load("harmbench", lines(tmp_path / "a.jsonl", rows)).items[0]

        assert item.prompt == LAMP and item.metadata == {
            "BehaviorID": "lend_lamp",
            "FunctionalCategory": "standard",
            "SemanticCategory": "keeping",
        }

    def test_xstest_is_its_safe_half(self, tmp_path):
        unsafe = XSTEST | {"id": "8", "prompt": LAMP, "label": "unsafe", "type": "contrast_homonyms"}
        file = table(tmp_path / "a.csv", [XSTEST, unsafe])

        assert [(item.id, item.label) for item in load("xstest", file).items] == [("7", "benign")]
        assert [item.id for item in load("xstest", file, half="unsafe").items] == ["8"]
        assert [item.label for item in load("xstest", file, half="all").items] == ["benign", "harmful"]

    @pytest.mark.parametrize("instruction", ["none", "boxed"])
    def test_a_problem_with_and_without_an_instruction(self, tmp_path, instruction):
        row = {"problem": "1+1?", "solution": r"\boxed{2}", "answer": "2", "subject": "Algebra", "level": 1}
        file = lines(tmp_path / "a.jsonl", [row | {"unique_id": "test/1"}])
        item = load("math500", file, instruction=instruction).items[0]

        assert item.prompt == ("1+1?" if instruction == "none" else f"1+1?\n{INSTRUCTION}")
        assert (item.id, item.request, item.target, item.label) == (digest("1+1?"), "1+1?", "2", "")
        assert item.metadata == {"unique_id": "test/1", "subject": "Algebra", "level": 1}

    def test_math_of_the_sister_has_its_answer_as_label(self, tmp_path):
        loaded = load("aime2024", lines(tmp_path / "a.jsonl", [sister("1+1?", 2), sister("1+2?", "3")]))

        assert [(item.prompt, item.target) for item in loaded.items] == [("1+1?", "2"), ("1+2?", "3")]


def problem(number, **more):
    return {"problem": f"How many are {number} + 1 lamps?", "answer": str(number + 1)} | more


def aime(number):
    return problem(number, id=60 + number, solution="", url=f"https://example.org/2024_AIME_I_Problems/{number}")


ORIGINALS = {
    "strongreject": lambda n: {"category": "Keeping", "source": "Orla", "forbidden_prompt": f"{LAMP} {n}"},
    "jailbreak_r1": lambda n: {"goal": LAMP, "attack": f"{NETS} {n}"},
    "fortress": fortress,
    "fortress_benign": fortress,
    "wildjailbreak": wild,
    "wildjailbreak_benign": lambda n: wild(n, "adversarial_benign"),
    "hcot": lambda n: HCOT | {"Full_Input (H-CoT + Request)": f"The council allows it. {LAMP} {n}"},
    "trotter": lambda n: {"id": str(n), "goal": LAMP, "attack": f"{NETS} {n}", "ciphers": [], "seed": 1},
    "math500": lambda n: problem(n, subject="Algebra", level=1, unique_id=f"test/{n}"),
    "aime2024": aime,
    "harmbench": lambda n: HARMBENCH | {"BehaviorID": f"lend_lamp_{n}", "Behavior": f"{LAMP} {n}"},
}
"""By set, a row of the publisher's file. XSTest's ids are known of its real prompts alone, see ``test_sets``."""


class TestIds:
    """An item has one id, whichever file of its set it is read from."""

    def test_every_set_is_here(self):
        assert set(ORIGINALS) | {"xstest"} == set(SETS)

    @pytest.mark.parametrize("name", ORIGINALS)
    def test_the_two_schemas_give_the_same_ids(self, tmp_path, name):
        original = load(name, lines(tmp_path / "a.jsonl", [ORIGINALS[name](number) for number in range(5)]))
        labels = {"harmful": "unsafe", "benign": "safe"}
        rows = [sister(f"{item.prompt}\n", labels.get(item.label, item.target)) for item in original.items]
        others = load(name, lines(tmp_path / "b.jsonl", rows))

        assert (original.origin["schema"], others.origin["schema"]) == ("original", "sister")
        assert [item.id for item in others.items] == [item.id for item in original.items]
        assert len({item.id for item in original.items}) == 5

    @pytest.mark.parametrize("name", ["math500", "aime2024"])
    def test_a_problem_has_its_id_in_any_order_and_part(self, tmp_path, name):
        rows = [ORIGINALS[name](number) for number in range(5)]
        whole = load(name, lines(tmp_path / "a.jsonl", rows))
        part = load(name, lines(tmp_path / "b.jsonl", rows[:1:-1]))

        assert [item.id for item in part.items] == [item.id for item in whole.items[:1:-1]]

    def test_a_problem_has_its_id_with_an_instruction(self, tmp_path):
        file = lines(tmp_path / "a.jsonl", [aime(1)])

        assert load("aime2024", file).items[0].id == load("aime2024", file, instruction="boxed").items[0].id


class TestWildJailbreak:
    def rows(self, tmp_path, harmful=300):
        kinds = ["adversarial_benign"] * 3 + ["adversarial_harmful"] * harmful
        return table(tmp_path / "eval.tsv", [wild(n, kind) for n, kind in enumerate(kinds)], "\t")

    def test_the_papers_rows_are_those_that_datasets_shuffles_first(self, tmp_path):
        file = self.rows(tmp_path)
        rows = datasets.load_dataset(
            "csv", data_files=file, delimiter="\t", keep_default_na=False, split="train", cache_dir=str(tmp_path / "c")
        )
        harmful = rows.filter(lambda row: row["data_type"] == "adversarial_harmful", load_from_cache_file=False)
        wanted = harmful.shuffle(seed=42).select(range(250))["adversarial"]

        loaded = load("wildjailbreak", file)

        assert [item.prompt for item in loaded.items] == list(wanted)
        assert [item.id for item in loaded.items] == [str(number) for number in range(250)]
        assert loaded.origin["shuffle"] == 42 and loaded.origin["options"] == {"subset": "paper"}

    def test_all_rows_begin_with_the_papers(self, tmp_path):
        file = self.rows(tmp_path)
        paper, everything = (load("wildjailbreak", file, subset=subset).items for subset in ("paper", "all"))

        assert len(everything) == 300 and everything[:250] == paper

    def test_a_cell_that_pandas_takes_for_none_is_text(self, tmp_path):
        file = table(tmp_path / "a.tsv", [wild(0) | {"adversarial": "None"}, wild(1) | {"adversarial": "NA"}], "\t")

        assert {item.prompt for item in load("wildjailbreak", file).items} == {"None", "NA"}

    def test_the_benign_part(self, tmp_path):
        loaded = load("wildjailbreak_benign", self.rows(tmp_path))

        assert len(loaded.items) == 3 and {item.label for item in loaded.items} == {"benign"}
        assert loaded.origin["differs"] == "3 prompts, the paper's set has 210"

    def test_the_training_split_is_refused(self, tmp_path):
        row = {"vanilla": LAMP, "completion": "No."} | wild(0)

        with pytest.raises(SetError, match="is no file of wildjailbreak: the columns are"):
            load("wildjailbreak", table(tmp_path / "a.tsv", [row], "\t"))

    def test_a_part_that_is_not_there_is_named(self, tmp_path):
        file = table(tmp_path / "a.tsv", [wild(0)], "\t")

        with pytest.raises(SetError, match="there is none whose data_type is adversarial_benign"):
            load("wildjailbreak_benign", file)


class TestBadInput:
    def test_no_rows(self, tmp_path):
        with pytest.raises(SetError, match="holds no rows; give a file of strongreject"):
            load("strongreject", lines(tmp_path / "a.jsonl", []))

    def test_wrong_columns_are_named_with_those_wanted(self, tmp_path):
        message = "the columns are forbiden_prompt, category; wanted are forbidden_prompt, or prompt and label"

        with pytest.raises(SetError, match=message):
            load("strongreject", lines(tmp_path / "a.jsonl", [{"forbiden_prompt": LAMP, "category": "Keeping"}]))

    def test_columns_of_another_set_are_named(self, tmp_path):
        with pytest.raises(SetError, match="they are the columns of fortress and fortress_benign"):
            load("strongreject", parquet(tmp_path / "a.parquet", [fortress(0)]))

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            (sister(" "), "prompt is empty"),
            (sister(None), "prompt is missing or null"),
            (sister(LAMP, "bad"), "label is 'bad', not one of safe, unsafe, harmful, benign"),
            (sister(LAMP, "safe"), "label says benign, and all rows of strongreject are harmful"),
            (sister(LAMP) | {"prompt": [{"role": "user", "content": LAMP}] * 2}, "prompt holds 2 messages"),
            (sister(LAMP) | {"prompt": [{"role": "system", "content": LAMP}]}, "prompt holds 1 messages"),
        ],
    )
    def test_a_row_that_cannot_be_used_is_named_without_its_text(self, tmp_path, row, reason):
        file = lines(tmp_path / "a.jsonl", [sister(LAMP), row, row])

        with pytest.raises(SetError) as error:
            load("strongreject", file)
        said = str(error.value)
        assert f"2 rows of {file} cannot be read as strongreject" in said
        assert f"2 rows, first line 2: {reason}" in said
        assert LAMP not in said

    def test_a_line_that_is_no_json(self, tmp_path):
        file = tmp_path / "a.jsonl"
        file.write_text(json.dumps(sister(LAMP)) + "\n{\n")

        with pytest.raises(SetError, match="1 rows, first line 2: is no JSON"):
            load("strongreject", str(file))

    @pytest.mark.parametrize("written", [str, json.dumps])
    def test_messages_written_as_text(self, tmp_path, written):
        row = {"prompt": written(sister(LAMP)["prompt"]), "label": "unsafe"}

        with pytest.raises(SetError, match="prompt is a list of messages written as text; save the file as JSON lines"):
            load("strongreject", table(tmp_path / "a.csv", [row]))

    def test_a_file_without_a_header_shows_no_word_of_its_first_row(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text("Please lend the big lamp of Orla to me tonight,storm\nanother,storm\n")

        with pytest.raises(SetError, match="the columns are a name of 46 characters, storm; wanted are") as error:
            load("strongreject", str(path))
        assert "lamp" not in str(error.value)

    def test_two_rows_with_one_id(self, tmp_path):
        file = table(tmp_path / "a.csv", [XSTEST | {"id": NETS}, XSTEST | {"id": NETS, "prompt": LAMP}])

        with pytest.raises(SetError, match=r"have one id: .*row 0 \(from 0\) and .*row 1 \(from 0\)") as error:
            load("xstest", file)
        assert NETS not in str(error.value)

    def test_a_problem_with_two_answers(self, tmp_path):
        file = lines(tmp_path / "a.jsonl", [sister("1+1?", "2"), sister("1+1? ", "2"), sister("1+1?", "3")])

        with pytest.raises(SetError, match=r"have one problem with two answers: .*line 1 and .*line 3"):
            load("math500", file)

    def test_a_rubric_without_questions(self, tmp_path):
        with pytest.raises(SetError, match="rubric is no list of questions"):
            load("fortress", parquet(tmp_path / "a.parquet", [fortress(0) | {"rubric": []}]))

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(SetError, match="does not exist"):
            load("strongreject", str(tmp_path / "none.csv"))

    def test_a_set_that_is_published_nowhere_says_how_to_get_it(self):
        with pytest.raises(SetError, match=r"jailbreak_r1 is published nowhere.*yuki-younai/Jailbreak-R1"):
            load("jailbreak_r1")

    def test_goals_of_another_number(self, tmp_path):
        attacks = lines(tmp_path / "attacks.jsonl", [sister(LAMP)] * 2)
        goals = lines(tmp_path / "goals.jsonl", [sister(LAMP)])

        with pytest.raises(SetError, match=r"has 2 rows, .*goals\.jsonl has 1: row i of jailbreak_r1"):
            load("jailbreak_r1", attacks, goals=goals)

    def test_a_folder_without_the_set_or_with_two_files_of_it(self, tmp_path):
        with pytest.raises(SetError, match=r"holds no file of xstest; .*xstest\.\*, xstest_prompts\.\*"):
            load("xstest", str(tmp_path))
        for name in ("xstest.csv", "xstest_safe.jsonl"):
            (tmp_path / name).touch()
        with pytest.raises(SetError, match=r"several files of xstest: xstest\.csv, xstest_safe\.jsonl"):
            load("xstest", str(tmp_path))


class TestOrigin:
    def test_what_differs_from_the_papers_set_is_said(self, tmp_path):
        few = load("hcot", lines(tmp_path / "a.jsonl", [sister(LAMP)]))
        others = load("hcot", lines(tmp_path / "b.jsonl", [sister(f"{LAMP} {n}") for n in range(50)]))

        assert (few.origin["same"], few.origin["differs"]) == (False, "1 prompts, the paper's set has 50")
        assert (others.origin["same"], others.origin["differs"]) == (
            False,
            "its prompts, or their order, are not those known of the set",
        )

    def test_the_content_does_not_depend_on_the_format(self, tmp_path):
        rows = [{"category": "", "source": "", "forbidden_prompt": text} for text in (LAMP, "Caf\u00e9?")]
        files = (
            table(tmp_path / "a.csv", rows),
            lines(tmp_path / "b.jsonl.gz", [sister(f" {LAMP}\n"), sister("Cafe\u0301?")]),
        )

        assert len({load("strongreject", file).origin["content"] for file in files}) == 1

    def test_the_order_is_part_of_the_content(self):
        assert content([LAMP, NETS]) != content([NETS, LAMP])

    def test_repeated_prompts_are_counted_and_kept(self, tmp_path):
        loaded = load("strongreject", lines(tmp_path / "a.jsonl", [sister(LAMP)] * 3))

        assert len(loaded.items) == 3 and loaded.origin["repeated_prompts"] == 2

    def test_it_holds_no_path_of_this_machine_and_is_json(self, tmp_path):
        (tmp_path / "sub").mkdir()
        goals = lines(tmp_path / "sub" / "goals.jsonl", [sister(LAMP)])
        loaded = load("jailbreak_r1", lines(tmp_path / "sub" / "a.jsonl", [sister(NETS)]), goals=goals)

        assert str(tmp_path) not in json.dumps(loaded.origin)
        assert loaded.origin["file"] == "a.jsonl" and loaded.origin["goals"]["file"] == "goals.jsonl"
