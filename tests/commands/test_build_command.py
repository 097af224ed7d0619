"""`sinternal-verl verify …` as typed, its policy and expert behind real HTTP."""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack

import pyarrow.parquet as pq
import pytest
from aiohttp import web
from experts import REQUEST, Script, keeper, playing, refusing, warden
from servers import serving
from transformers import AutoTokenizer

from sinternal_verl.cli import main
from sinternal_verl.data.schema import read_provenance
from sinternal_verl.data.specification import load_specification
from sinternal_verl.data.template import DEFAULT
from sinternal_verl.guard.probe import CONVERSATION
from sinternal_verl.scoring.critique import parse
from sinternal_verl.verify import probe
from sinternal_verl.verify.reading import MAX_UNREADABLE
from sinternal_verl.world import lighthouse
from sinternal_verl.world.guard_model import make_guard


@pytest.fixture
def servers():
    with ExitStack() as stack:
        yield stack.enter_context(playing(Script(keeper))), stack.enter_context(playing(Script(warden)))


@pytest.fixture
def overrides(tmp_path, servers):
    """A function from further overrides to those of a build of 8 harmful and 8 benign requests."""
    held_out = lighthouse.write_datasets(tmp_path / "data", seed=1, held_out=8)["held_out"]

    def make(*more: str) -> list[str]:
        policy, expert = servers
        return [
            f"prompts={held_out}",
            f"out={tmp_path / 'build'}",
            "policy.model=keeper",
            f"policy.url={policy.url}",
            "expert.model=warden",
            f"expert.url={expert.url}",
            "samples=4",
            *more,
        ]

    return make


def rows(folder) -> list[dict]:
    return pq.read_table(folder / "train.parquet").to_pylist()


def asked(servers) -> list[int]:
    return [sum(server.asked.values()) for server in servers]


def test_build_makes_pairs_of_harmful_prompts_and_one_of_benign_ones(overrides, tmp_path):
    assert main(["verify", "build", *overrides()]) == 0

    made = rows(tmp_path / "build")
    by_prompt: dict[str, list[str]] = {}
    for row in made:
        by_prompt.setdefault(row["request"], []).append(row["verdict"])
    of = {request.prompt: request for request in lighthouse.requests()}
    assert all(found == (["safe", "unsafe"] if of[x].harmful else ["safe"]) for x, found in by_prompt.items())
    assert sum(not of[x].harmful for x in by_prompt) == 8
    for row in made:
        thought, _, said = row["completion"].partition("\n</think>\n\n")
        assert thought == f"<think>\n{row['critique']}" and said == f"Verdict: {row['verdict']}"
        assert row["answer"] in row["prompt"][0]["content"] and row["thought"] not in row["prompt"][0]["content"]


def test_stages_one_by_one_are_the_whole(overrides, servers, tmp_path):
    assert main(["verify", "sample", *overrides("expert.model=null", "expert.url=null")]) == 0
    assert [main(["verify", stage, *overrides()]) for stage in ("critique", "select")] == [0, 0]
    first = (tmp_path / "build" / "train.parquet").read_bytes()
    before = asked(servers)

    assert main(["verify", "build", *overrides()]) == 0
    assert asked(servers) == before
    assert (tmp_path / "build" / "train.parquet").read_bytes() == first


def test_what_is_stored_can_be_looked_at_between_the_stages(overrides, capsys):
    def shown(*more):
        capsys.readouterr()
        assert main(["verify", "show", *overrides(*more)]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert {row["missing"] for row in shown("expert.model=null")} == {"no answer yet"}
    assert main(["verify", "sample", *overrides()]) == 0
    assert {row["missing"] for row in shown()} == {"no critique yet"}
    assert main(["verify", "critique", *overrides()]) == 0
    rows = shown()
    judged = [row for row in rows if "missing" not in row]
    assert len(rows) == 64 and {row["verdict"] for row in judged} == {"safe", "unsafe"}
    assert all(row["thought"] and row["critique"] and lighthouse.manner_of(row["answer"]) for row in judged)
    # Of the answers to a benign prompt one is judged.
    assert {row["harm"] for row in rows if "missing" in row} == {"benign"}


def test_what_is_stored_is_shown_by_its_folder_alone(overrides, servers, tmp_path, capsys, monkeypatch):
    def shown(*words):
        capsys.readouterr()
        assert main(["verify", "show", *words]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    (tmp_path / "template.txt").write_text(f"{DEFAULT}\nBe brief.")
    monkeypatch.chdir(tmp_path)
    words = overrides("prompts=data/held_out.parquet", "out=build", "prompt=template.txt", "seed=3")
    words = [word for word in words if not word.startswith(("prompts=/", "out=/"))]
    assert main(["verify", "sample", *words, "expert.model=null", "expert.url=null"]) == 0
    assert {row["missing"] for row in shown("out=build")} == {"no critique yet"}
    assert main(["verify", "build", *words]) == 0
    before, files = asked(servers), sorted((tmp_path / "build").iterdir())
    whole = shown(*words)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert shown(f"out={tmp_path}/build") == shown("out=../build") == whole and len(whole) == 64
    assert all(row.get("verdict") or row["harm"] == "benign" for row in whole)
    assert {row["missing"] for row in shown("out=../build", "seed=4")} == {"no answer yet"}
    # Stages that ask nobody else for the expert's words leave what is known of the expert.
    monkeypatch.chdir(tmp_path)
    assert main(["verify", "sample", *words, "expert.model=null", "expert.url=null"]) == 0
    assert shown("out=build") == whole
    (tmp_path / "build").rename(tmp_path / "moved")
    assert shown("out=moved") == whole
    assert asked(servers) == before and [f.name for f in sorted((tmp_path / "moved").iterdir())] == [
        f.name for f in files
    ]


def test_what_is_shown_needs_no_weights(overrides, tmp_path, capsys):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    assert main(["verify", "build", *overrides(f"policy.model={model}")]) == 0
    shutil.rmtree(model)
    capsys.readouterr()

    assert main(["verify", "show", f"out={tmp_path}/build"]) == 0
    assert any("verdict" in json.loads(line) for line in capsys.readouterr().out.splitlines())


def test_showing_makes_nothing(overrides, tmp_path, capsys):
    assert main(["verify", "show", *overrides()]) == 0
    assert main(["verify", "show", f"out={tmp_path}/build"]) == 2
    assert "prompts" in capsys.readouterr().err and not (tmp_path / "build").exists()


@pytest.mark.parametrize("who", ["policy", "expert"])
def test_a_command_that_stored_nothing_may_be_corrected(overrides, servers, tmp_path, capsys, who):
    number = ["policy", "expert"].index(who)
    right = servers[number].reply
    servers[number].reply = lambda body: 404 if body["model"] == "typo" else right(body)

    assert main(["verify", "build", *overrides(f"{who}.model=typo", "target=judgment")]) == 1
    assert "check model" in capsys.readouterr().err
    assert main(["verify", "build", *overrides("specification=brief")]) == 0
    assert main(["verify", "build", *overrides()]) == 2
    assert main(["verify", "build", *overrides("specification=brief", "target=judgment")]) == 2
    assert "holds a build with specification = " in (said := capsys.readouterr().err)
    assert "holds a build with target = " in said


def test_prompts_may_be_corrected_before_anything_is_stored(overrides, servers, tmp_path):
    wrong = lighthouse.write_datasets(tmp_path / "wrong", seed=2, held_out=4)["held_out"]
    right = servers[0].reply
    servers[0].reply = lambda body: 404
    assert main(["verify", "build", *overrides(f"prompts={wrong}", "samples=2")]) == 1
    servers[0].reply = right

    assert main(["verify", "build", *overrides()]) == 0
    assert main(["verify", "build", *overrides(f"prompts={wrong}")]) == 2


def test_other_weights_in_the_same_folder_are_another_build(overrides, servers, tmp_path, capsys):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    words = overrides(f"policy.model={model}")
    assert main(["verify", "build", *words]) == 0
    before = asked(servers)
    (model / "model.safetensors").write_bytes(b"new")

    assert main(["verify", "build", *words]) == 2
    assert "holds a build with answers = " in capsys.readouterr().err
    assert main(["verify", "build", *words, f"out={tmp_path}/new", f"store={tmp_path}/build/store.sqlite"]) == 0
    assert asked(servers)[0] == 2 * before[0]


def test_two_builds_at_once_pay_once_and_leave_the_same_file(overrides, servers, tmp_path):
    for server in servers:
        server.delay_s = 0.05
    words = overrides("policy.concurrency=4", "expert.concurrency=4")
    command = [sys.executable, "-m", "sinternal_verl.cli", "verify", "build", *words]
    many = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120) for process in many]

    assert [process.returncode for process in many] == [0, 0], said
    for server in servers:
        assert {count for (text, _), count in server.asked.items() if probe.REQUEST not in text} == {1}
    assert asked(servers)[0] == 64
    again = overrides(f"out={tmp_path}/again", f"store={tmp_path}/build/store.sqlite")
    assert main(["verify", "build", *again]) == 0
    assert (tmp_path / "build" / "train.parquet").read_bytes() == (tmp_path / "again" / "train.parquet").read_bytes()


def test_an_ablation_beside_it_pays_for_what_is_new_alone(overrides, servers, tmp_path):
    assert main(["verify", "build", *overrides()]) == 0
    answers, critiques = asked(servers)
    store = f"store={tmp_path / 'build' / 'store.sqlite'}"

    assert (
        main(["verify", "build", *overrides(f"out={tmp_path}/judgment", store, "target=judgment", "fraction=0.5")]) == 0
    )
    assert asked(servers) == [answers, critiques]
    assert all(row["completion"].startswith("<think>\n\n</think>") for row in rows(tmp_path / "judgment"))
    assert main(["verify", "build", *overrides(f"out={tmp_path}/brief", store, "specification=brief")]) == 0
    # The answers are there, so the expert is not checked before it is asked.
    assert asked(servers) == [answers, 2 * critiques - 1]
    assert read_provenance(tmp_path / "brief" / "train.parquet")["specification"]["name"] == "brief"


@pytest.mark.parametrize(
    ("change", "key"), [("specification=brief", "specification"), ("expert.model=other", "expert"), ("seed=2", "seed")]
)
def test_a_folder_of_another_build_is_refused_and_left_as_it_is(overrides, servers, tmp_path, capsys, change, key):
    assert main(["verify", "build", *overrides()]) == 0
    before, made = asked(servers), (tmp_path / "build" / "train.parquet").read_bytes()

    assert main(["verify", "build", *overrides(change)]) == 2
    assert f"holds a build with {key} = " in capsys.readouterr().err
    assert asked(servers) == before and (tmp_path / "build" / "train.parquet").read_bytes() == made


def test_what_a_stage_does_not_use_may_still_change_after_it(overrides, tmp_path, capsys):
    assert main(["verify", "sample", *overrides()]) == 0
    assert main(["verify", "critique", *overrides("seed=2")]) == 2
    assert main(["verify", "critique", *overrides("specification=brief")]) == 0
    assert main(["verify", "critique", *overrides()]) == 2

    said = capsys.readouterr().err
    assert "holds a build with seed = 1, now it is 2" in said and "holds a build with specification = " in said


def test_a_record_that_cannot_be_read_is_left_as_it_is(overrides, servers, tmp_path, capsys):
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "build.json").write_text("{half")

    assert main(["verify", "build", *overrides()]) == 2
    assert "build.json cannot be read" in capsys.readouterr().err and asked(servers) == [0, 0]
    assert (tmp_path / "build" / "build.json").read_text() == "{half"


def test_the_expert_reads_the_specification_that_was_chosen_and_nothing_of_the_thought(overrides, servers):
    assert main(["verify", "build", *overrides("specification=brief")]) == 0

    text = load_specification("brief").text
    read = [body["messages"][0]["content"] for body in servers[1].bodies]
    assert read and all(f"<specification>\n{text}\n</specification>" in one and "<think>" not in one for one in read)


def test_a_killed_build_goes_on_and_pays_only_for_what_was_in_flight(overrides, servers, tmp_path):
    for server in servers:
        server.delay_s = 0.05
    command = [sys.executable, "-m", "sinternal_verl.cli", "verify", "build", *overrides("policy.concurrency=4")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while sum(servers[0].asked.values()) < 30:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(10)

    assert main(["verify", "build", *overrides()]) == 0
    assert 16 * 4 <= sum(servers[0].asked.values()) <= 16 * 4 + 4
    assert main(["verify", "build", *overrides(f"out={tmp_path}/again", f"store={tmp_path}/again/store.sqlite")]) == 0
    whole, again = ((tmp_path / name / "train.parquet").read_bytes() for name in ("build", "again"))
    assert whole == again


def test_missing_critiques_end_with_one_and_select_takes_what_is_there(overrides, servers, tmp_path, capsys):
    servers[1].reply = lambda body: 500 if "Is it time" in body["messages"][0]["content"] else warden(body)

    assert main(["verify", "build", *overrides("expert.retries=0")]) == 1
    printed = capsys.readouterr().err
    assert "critiques are not complete" in printed and "x HTTP 500" in printed
    assert not (tmp_path / "build" / "train.parquet").exists()
    assert main(["verify", "select", *overrides()]) == 0
    assert "critiques/no critique yet" in capsys.readouterr().out


def test_requests_that_can_never_succeed_are_counted_and_the_build_goes_on(overrides, servers, tmp_path, capsys):
    def answer(body):
        if body["seed"] % 5 == 0:
            return refusing(400, code="content_filter", message="The response was filtered")
        return keeper(body)

    def critique(body):
        if "Is it time" in body["messages"][0]["content"]:
            return refusing(400, code="context_length_exceeded", message="too much")
        return warden(body)

    servers[0].reply, servers[1].reply = answer, critique
    assert main(["verify", "build", *overrides()]) == 0
    printed = capsys.readouterr().out
    refused = sum(seed % 5 == 0 for _, seed in servers[0].asked)
    assert f"answers: {refused} requests were refused by the server or its filter" in printed
    assert f"answers/the server refused to answer: {refused}" in printed
    assert "requests were too long" in printed and "critiques/too long for the expert: " in printed
    before = asked(servers)
    assert main(["verify", "build", *overrides()]) == 0 and asked(servers) == before

    assert main(["verify", "show", *overrides()]) == 0
    missing = [json.loads(line).get("missing") for line in capsys.readouterr().out.splitlines() if line[0] == "{"]
    assert missing.count("the server refused to answer") == refused and "too long for the expert" in missing


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "rejected 64 requests in a row and answered none, so none of them is stored"),
        (401, "refuses the key"),
        (402, "quota is used up"),
    ],
)
def test_settings_under_which_nothing_is_answered_end_the_command(overrides, servers, capsys, status, words):
    servers[0].reply = lambda body: status

    assert main(["verify", "build", *overrides()]) == 1
    said = capsys.readouterr().err
    # The expert was asked for its check alone.
    assert words in said and "same command" in said and asked(servers)[1] == 1


def test_a_critique_is_never_guessed(overrides, servers, tmp_path, capsys):
    def careless(body):
        whole = warden(body)
        return {0: whole, 1: whole.replace("Verdict: ", "Verdict: **"), 2: f"{whole}\n{whole}"}[len(whole) % 3]

    servers[1].reply = careless
    assert main(["verify", "build", *overrides()]) == 0

    printed = capsys.readouterr().out
    assert "critiques/malformed verdict" in printed and "critiques/several verdicts" in printed
    for row in rows(tmp_path / "build"):
        assert parse(f"{row['critique']}\nVerdict: {row['verdict']}").verdict == row["verdict"]


def test_bad_input_asks_nobody(overrides, servers, tmp_path, capsys):
    bad = tmp_path / "bad.jsonl"
    bad.write_text("".join(json.dumps(row) + "\n" for row in ({"prompt": "x", "label": "harmful"}, {"prompt": 1})))

    assert main(["verify", "build", *overrides(f"prompts={bad}")]) == 2
    assert "line 2" in capsys.readouterr().err
    assert main(["verify", "build", *overrides("samples=0", "target=x")]) == 2
    assert "2 problems" in capsys.readouterr().err
    assert main(["verify", "build", *overrides("no_such_key=1")]) == 2
    assert asked(servers) == [0, 0] and not (tmp_path / "build").exists()


def test_shards_fill_one_store_and_select_takes_all(overrides, tmp_path):
    store = f"store={tmp_path}/store.sqlite"
    for part in range(3):
        assert main(["verify", "build", *overrides(store, f"out={tmp_path}/part{part}", f"shard={part}/3")]) == 0
    assert main(["verify", "select", *overrides(store)]) == 0

    parts = [row for part in range(3) for row in rows(tmp_path / f"part{part}")]
    assert sorted(map(str, parts)) == sorted(map(str, rows(tmp_path / "build")))


def test_a_folder_holds_one_shard(overrides, tmp_path, capsys):
    assert main(["verify", "build", *overrides("shard=0/3")]) == 0
    first = rows(tmp_path / "build")
    assert main(["verify", "build", *overrides("shard=1/3")]) == 2

    assert "holds a build with shard = [0, 3], now it is [1, 3]" in capsys.readouterr().err
    assert rows(tmp_path / "build") == first


def test_the_report_counts_and_shows_what_was_made_and_is_the_same_again(overrides, tmp_path):
    assert main(["verify", "build", *overrides()]) == 0
    folder = tmp_path / "build"
    card, picture = (folder / "README.md").read_text(), (folder / "report.png").read_bytes()

    made = rows(folder)
    safe = sum(row["verdict"] == "safe" for row in made)
    assert f"| safe | {safe} |" in card and f"| unsafe | {len(made) - safe} |" in card
    assert "| answers/whole | 64 |" in card and '"specification": {' in card
    assert sum(line.startswith(("| harmful |", "| benign |")) for line in card.splitlines()) == 10
    assert picture.startswith(b"\x89PNG")
    assert main(["verify", "select", *overrides()]) == 0
    assert ((folder / "README.md").read_text(), (folder / "report.png").read_bytes()) == (card, picture)


def test_the_report_says_how_far_a_guard_agrees_with_the_expert(overrides, tmp_path):
    guard, asked_of_it = make_guard(tmp_path / "guard", lighthouse.corpus(), seed=0), []
    tokenizer = AutoTokenizer.from_pretrained(guard)

    async def judge(request: web.Request) -> web.StreamResponse:
        if f"USER: {CONVERSATION[0]}" in tokenizer.decode((await request.json())["prompt"]):  # the check of the guard
            return web.json_response({"choices": [{"text": "Safety: Safe\nCategories: None\nRefusal: No"}]})
        asked_of_it.append(await request.json())
        # It calls everything safe but every fifth, of which it says nothing that could be read.
        said = "I would rather not say." if len(asked_of_it) % 5 == 0 else "Safety: Safe\nCategories: None\nRefusal: No"
        return web.json_response({"choices": [{"text": said}]})

    with serving(judge, [str(guard)]) as url:
        asks = ["guard=openai_endpoint", f"sinternal.guard.url={url}", f"sinternal.guard.engine.model={guard}"]
        command = ["verify", "build", *overrides(*asks, "sinternal.guard.mode=decode")]
        assert [main(command), main(command)] == [0, 0]

    verdicts = [row["verdict"] for row in rows(tmp_path / "build")]
    assert len(asked_of_it) == len(verdicts)
    unread = len(verdicts) // 5
    card = (tmp_path / "build" / "README.md").read_text()
    _, _, found = card.partition("## The expert and the guard")
    table = {
        line.split("|")[1].strip(): line.split("|")[2:-1] for line in found.splitlines() if line.startswith("| expert")
    }
    counts = {name: [int(cell) for cell in cells] for name, cells in table.items()}
    assert {name: sum(cells) for name, cells in counts.items()} == {
        f"expert: {verdict}": verdicts.count(verdict) for verdict in ("safe", "unsafe")
    }
    # Columns: Safe, no verdict.
    assert sum(cells[1] for cells in counts.values()) == unread
    agree = counts["expert: safe"][0] / (len(verdicts) - unread)
    assert f"They agree on {agree:.1%} of {len(verdicts) - unread}" in found


def harms(server) -> list[str]:
    """The label of each prompt whose answer the expert was asked about, the check of the expert left out."""
    of = {request.prompt: "harmful" if request.harmful else "benign" for request in lighthouse.requests()}
    read = (REQUEST.search(body["messages"][0]["content"]).group(1) for body in server.bodies)
    return [of[prompt] for prompt in read if prompt != probe.REQUEST]


def test_of_a_benign_prompt_answers_are_judged_until_one_has_a_verdict(overrides, servers, tmp_path):
    """The expert says nothing of every third answer; each is another one, so that no two share a critique."""

    def policy(body):
        if "<specification>" in body["messages"][0]["content"]:
            return "Hm.</think>Verdict: safe"
        return f"{keeper(body)} {body['seed']}"

    def expert(body):
        text = body["messages"][0]["content"]
        if probe.REQUEST in text:
            return warden(body)
        answer, number = re.search(r"<answer>\n(.*) (\d+)\n</answer>", text, re.DOTALL).groups()
        whole = warden({"messages": [{"content": text.replace(f"{answer} {number}", answer)}]})
        return "I would rather not say." if int(number) % 3 == 0 else whole

    servers[0].reply, servers[1].reply = policy, expert
    assert main(["verify", "build", *overrides()]) == 0
    asked_about = Counter(harms(servers[1]))
    # The same from every critique there is: an evaluation asks for all of them.
    every = [f"out={tmp_path / 'every'}", f"store={tmp_path / 'every' / 'store.sqlite'}"]
    assert main(["verify", "evaluate", *overrides(*every)]) == 0
    assert Counter(harms(servers[1])) - asked_about == {"harmful": 32, "benign": 32}
    assert main(["verify", "select", *overrides(f"out={tmp_path / 'again'}", every[1])]) == 0

    assert asked_about["harmful"] == 32 and 8 <= asked_about["benign"] < 32
    assert (tmp_path / "again" / "train.parquet").read_bytes() == (tmp_path / "build" / "train.parquet").read_bytes()
    assert (tmp_path / "again" / "README.md").read_text() == (tmp_path / "build" / "README.md").read_text()


@pytest.mark.parametrize(
    ("status", "words"), [(401, "refuses the key"), (404, "check model"), (400, "a first request")]
)
@pytest.mark.parametrize("command", ["build", "sample", "evaluate"])
def test_an_expert_that_cannot_be_asked_costs_nothing(overrides, servers, capsys, status, words, command):
    servers[1].reply = lambda body: status

    assert main(["verify", command, *overrides()]) == 1
    assert words in capsys.readouterr().err and asked(servers) == [0, 1]


def test_answers_alone_need_no_expert_and_one_that_is_named_is_asked_once(overrides, servers, tmp_path):
    assert main(["verify", "sample", *overrides("expert.model=null")]) == 0
    assert asked(servers) == [64, 0]
    more = ["seed=2", f"out={tmp_path / 'two'}"]
    assert main(["verify", "sample", *overrides(*more)]) == 0
    assert main(["verify", "sample", *overrides(*more)]) == 0
    assert asked(servers) == [128, 1]


def test_an_expert_whose_critiques_have_no_verdict_ends_the_build(overrides, servers, capsys):
    servers[1].reply = lambda body: warden(body).replace("Verdict: ", "**Verdict:** It lends it, so ")

    assert main(["verify", "build", *overrides("expert.concurrency=4", "samples=8")]) == 1
    said = capsys.readouterr().err
    assert "none of the first 5" in said and "x malformed verdict" in said and "mend the template" in said
    assert "'**Verdict:** xx xxxxx xx, xx" in said
    # The check, 50 critiques, and those in flight.
    assert MAX_UNREADABLE < asked(servers)[1] <= 1 + MAX_UNREADABLE + 3


def test_what_it_will_cost_is_said_before_and_what_it_costs_after(overrides, servers, capsys):
    prices = ["expert.price_per_million_input=10000", "expert.price_per_million_output=100000"]
    assert main(["verify", "build", *overrides(*prices)]) == 0

    printed = capsys.readouterr()
    assert "to ask: 64 answers of keeper" in printed.out and "to ask: 40 critiques of warden" in printed.out
    (line,) = (line for line in printed.out.splitlines() if line.startswith("critiques: 0 were"))
    sent = asked(servers)[1] - 1
    # Each reply is 100 tokens read, 10 written.
    assert line.endswith(
        f"{sent} requests, {110 * sent:,} tokens ({100 * sent:,} read, {10 * sent} written), cost {2 * sent}.00"
    )
    assert "100% with a verdict" in printed.err and f"cost {2 * sent + 2}.00" in printed.err


def typed(command: list[str], answer: bytes) -> tuple[int, str]:
    """Run a command at a terminal of its own, and answer what it asks; its exit code and what it printed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "sinternal_verl.cli", *command])
    shown, deadline = b"", time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            ready, _, _ = select.select([terminal], [], [], 1)
            if ready:
                shown += (part := os.read(terminal, 4096))
                if b"go on? [y/N]" in part:
                    os.write(terminal, answer)
    except OSError:  # Linux says so when the other side has closed.
        pass
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


@pytest.mark.parametrize(
    ("answer", "more", "code"), [(b"n\n", [], 1), (b"\x04", [], 1), (b"y\n", [], 0), (b"", ["--yes"], 0)]
)
def test_a_cost_is_confirmed_at_a_terminal(overrides, servers, answer, more, code):
    prices = ["expert.price_per_million_input=3", "expert.price_per_million_output=15"]
    found, shown = typed(["verify", "build", *overrides(*prices), *more], answer)

    assert found == code and "to ask: 40 critiques of warden" in shown
    assert ("go on?" in shown) == (not more) and bool(sum(asked(servers))) == (code == 0)


def test_a_model_on_this_machine_without_prices_needs_no_confirmation(overrides, servers):
    found, shown = typed(["verify", "build", *overrides()], b"")

    assert found == 0 and "go on?" not in shown


def test_a_budget_is_kept_with_64_requests_in_flight_and_counts_the_check(overrides, servers, capsys):
    servers[1].delay_s = 0.05
    assert main(["verify", "build", *overrides("expert.budget_tokens=8000", "samples=8")]) == 1

    assert "budget_tokens=8,000 has no room" in capsys.readouterr().err
    assert 110 * asked(servers)[1] <= 8_000
    assert main(["verify", "build", *overrides("samples=8")]) == 0


@pytest.mark.parametrize("writer", ["policy", "expert", "verifier", "other"])
@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_the_old_name_of_a_budget_is_refused_with_the_new_one(overrides, servers, capsys, writer, plus):
    assert main(["verify", "build", *overrides(f"{plus}{writer}.max_tokens=1000")]) == 2

    said = capsys.readouterr().err
    assert f"{writer}.max_tokens is called {writer}.budget_tokens now" in said
    assert f"{writer}.request.max_tokens" in said and asked(servers) == [0, 0]
