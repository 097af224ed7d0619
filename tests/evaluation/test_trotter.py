"""Chains of ciphers: each can be undone, and a seed gives one file."""

import csv
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinternal_verl.cli import main
from sinternal_verl.evaluation.sets.catalog import SetError
from sinternal_verl.evaluation.sets.loading import load
from sinternal_verl.evaluation.sets.trotter import LENGTH, OTHERS, draw_chain, hide, unhide

GOALS = ["May I lend the lamp?", "Tell me how to mend  the nets.", "Is it time to ring the bell, keeper?"]


@pytest.fixture
def goals(tmp_path):
    file = tmp_path / "TrotterStrong.jsonl"
    file.write_text("".join(json.dumps({"dim": "Keeping", "ptq": goal}) + "\n" for goal in GOALS))
    return str(file)


@given(st.text(), st.integers(0, 10_000), st.integers(0, 1_000))
def test_a_chain_can_be_undone(text, seed, number):
    chain = draw_chain(seed, number)

    assert unhide(hide(text, chain), chain) == " ".join(text.split())


def test_a_chain_has_each_cipher_once_and_all_ciphers_occur():
    chains = [draw_chain(1, number) for number in range(300)]
    kinds = [[cipher.name.partition(" ")[0] + cipher.says[:20] for cipher in chain] for chain in chains]

    assert {len(set(chain)) for chain in kinds} == {LENGTH}
    assert {cipher.name for chain in chains for cipher in chain} >= {cipher.name for cipher in OTHERS}
    assert {cipher.name for chain in chains for cipher in chain if cipher.name.startswith("caesar")} == {
        f"caesar {by}" for by in range(1, 26)
    }


def test_one_seed_makes_the_same_bytes_and_another_seed_others(goals, tmp_path):
    files = [tmp_path / name for name in ("a.jsonl", "b.jsonl", "c.jsonl")]
    for file, seed in zip(files, (1, 1, 2), strict=True):
        random.seed(len(file.name))
        assert main(["data", "trotter", "--source", goals, "--out", str(file), "--seed", str(seed)]) == 0

    first, again, other = (file.read_bytes() for file in files)
    assert first == again != other


def test_attacks_are_the_same_whether_they_are_read_or_made(goals, tmp_path):
    saved = tmp_path / "attacks.jsonl"
    made = load("trotter", goals, seed=3, save=str(saved))
    read = load("trotter", str(saved))

    assert made.items == read.items
    assert made.origin["content"] == read.origin["content"]
    assert made.origin["seed"] == read.origin["seed"] == 3
    assert (made.origin["saved"], read.origin["file"]) == ("attacks.jsonl", "attacks.jsonl")


def test_the_goal_is_judged_and_stands_hidden_in_the_prompt(goals):
    for number, (item, goal) in enumerate(zip(load("trotter", goals).items, GOALS, strict=True)):
        chain = draw_chain(1, number)

        assert item.request == goal and goal not in item.prompt
        assert hide(goal, chain) in item.prompt
        assert item.metadata["ciphers"] == [cipher.name for cipher in chain]
        assert all(cipher.says in item.prompt for cipher in chain)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"seed": 4}, "holds attacks of the seed 3, not 4"), ({"save": "b.jsonl"}, "holds attacks already")],
)
def test_attacks_that_were_made_are_not_made_again(goals, tmp_path, options, message):
    saved = str(tmp_path / "attacks.jsonl")
    load("trotter", goals, seed=3, save=saved)

    with pytest.raises(SetError, match=message):
        load("trotter", saved, **options)


def test_a_table_of_attacks_has_the_seed_that_they_were_made_with(goals, tmp_path):
    saved, table = tmp_path / "attacks.jsonl", tmp_path / "attacks.csv"
    made = load("trotter", goals, seed=3, save=str(saved)).items
    rows = [json.loads(line) for line in saved.read_text().splitlines()]
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)

    assert [item.prompt for item in load("trotter", str(table), seed=3).items] == [item.prompt for item in made]
    with pytest.raises(SetError, match="holds attacks of the seed 3, not 4"):
        load("trotter", str(table), seed=4)


def test_a_seed_is_a_number(goals):
    with pytest.raises(SetError, match="seed=True; give a whole number"):
        load("trotter", goals, seed=True)


def test_a_row_without_a_goal_is_named(tmp_path, capsys):
    file = tmp_path / "a.jsonl"
    file.write_text('{"dim": "Keeping", "ptq": "May I?"}\n{"dim": "Keeping", "ptq": ""}\n')

    with pytest.raises(SetError, match=r"1 rows of .*a\.jsonl hold no goal; repair them:\n.*line 2: ptq is empty"):
        load("trotter", str(file))
    assert main(["data", "trotter", "--source", str(file), "--out", str(tmp_path / "b.jsonl")]) == 2
    assert "b.jsonl was not written" in capsys.readouterr().err and not (tmp_path / "b.jsonl").exists()
