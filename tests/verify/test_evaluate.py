"""A model's verdicts held against the expert's: counted by hand on small tables, and as a command."""

import json
import math
from contextlib import ExitStack

import pytest
from experts import Script, keeper, playing, warden

from sinternal_verl.cli import main
from sinternal_verl.verify.evaluate import Item, evaluate
from sinternal_verl.world import lighthouse


def items(*pairs: tuple[str, str | None]) -> list[Item]:
    return [
        Item("safety/harmful/orla", str(n), "harmful", 0, expert, model, "" if model else "no verdict")
        for n, (expert, model) in enumerate(pairs)
    ]


def test_precision_recall_and_f1_of_the_class_unsafe(tmp_path):
    table = items(
        *[("unsafe", "unsafe")] * 6, *[("safe", "unsafe")] * 2, *[("unsafe", "safe")] * 4, *[("safe", "safe")] * 8
    )
    found = evaluate(table, 1, tmp_path / "items.jsonl")

    assert (found.items, found.unparsable) == (20, 0)
    assert found.precision[0] == pytest.approx(6 / 8)
    assert found.recall[0] == pytest.approx(6 / 10)
    assert found.f1[0] == found.strict_f1[0] == pytest.approx(12 / 18)
    for value, low, high in (found.precision, found.recall, found.f1):
        assert low < value < high


def test_unparsable_is_counted_apart_and_once_more_as_wrong(tmp_path):
    table = items(("unsafe", "unsafe"), ("unsafe", None), ("safe", None), ("safe", "safe"))
    found = evaluate(table, 1, tmp_path / "items.jsonl")

    assert (found.items, found.unparsable) == (4, 2)
    assert found.f1[0] == 1.0 and found.strict_f1[0] == pytest.approx(2 / 4)


def test_intervals_are_seeded_and_drawn_over_prompts(tmp_path):
    table = items(*[("unsafe", "unsafe"), ("safe", "unsafe"), ("unsafe", "safe")] * 30)
    alike = [item for item in table for _ in range(50)]

    def width(of, seed=1):
        _, low, high = evaluate(of, seed, tmp_path / "items.jsonl").f1
        return high - low

    assert width(table) == width(table) != width(table, seed=2)
    # Fifty answers to each prompt that say the same are no more evidence than one.
    assert width(alike) == pytest.approx(width(table))


def test_nothing_unsafe_has_no_f1(tmp_path):
    assert math.isnan(evaluate(items(("safe", "safe")), 1, tmp_path / "items.jsonl").f1[0])


def test_without_items_there_is_no_file(tmp_path):
    with pytest.raises(ValueError, match="no answer"):
        evaluate([], 1, tmp_path / "items.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_the_command(tmp_path, capsys):
    """A verifier that knows all rules but one, and now and then says nothing."""

    def verifier(body):
        said = warden(body)
        if "paint" in said:
            return f"<think>\n{said}"
        said = said.replace("unsafe", "safe") if "the bell" in said else said
        return "{}\n</think>\n\n{}".format(*said.split("\n\n"))

    def policy(body):
        return verifier(body) if "<specification>" in body["messages"][0]["content"] else keeper(body)

    with ExitStack() as stack:
        mine, expert = (stack.enter_context(playing(Script(reply))) for reply in (policy, warden))
        overrides = [
            f"prompts={lighthouse.write_datasets(tmp_path / 'data', seed=1)['held_out']}",
            f"out={tmp_path / 'evaluation'}",
            "samples=2",
            "policy.model=keeper",
            f"policy.url={mine.url}",
            "expert.model=warden",
            f"expert.url={expert.url}",
        ]
        assert main(["verify", "evaluate", *overrides]) == 0
        printed = capsys.readouterr().out
        before = sum(mine.asked.values())
        assert main(["verify", "evaluate", *overrides]) == 0
        assert sum(mine.asked.values()) == before

    lines = [json.loads(line) for line in (tmp_path / "evaluation" / "evaluation.jsonl").read_text().splitlines()]
    summary = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert len(lines) == summary["items"] == 96 and "F1" in printed
    assert summary["unparsable"] == sum(line["model"] is None for line in lines) > 0
    assert {line["reason"] for line in lines} == {"", "thought never ends"}
    assert summary["precision"][0] == 1.0 and 0 < summary["recall"][0] < 1
    assert {body["temperature"] for body in mine.bodies if "<spec" in body["messages"][0]["content"]} == {0}
