"""The page as a file: its size, its policy, what it says that it holds, and the texts beside it."""

import base64
import hashlib
import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest
from made_pages import ATTACKS, attacked, large_page, read_page
from made_runs import make_grpo, make_plain, make_sft

from sinternal_verl.report.compose import make_page
from sinternal_verl.report.page import MAX_BYTES, SCRIPTS, write_page
from sinternal_verl.report.read import read_run
from sinternal_verl.report.template import WEB


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return read_page(tmp_path_factory.mktemp("page") / "run", steps=4, resumes=(2,), unscored=0.2)


def written(page, tmp_path, **options) -> str:
    tmp_path.mkdir(exist_ok=True)
    write_page(page, tmp_path / "report.html", **options)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_page_with_more_texts_than_it_may_hold(page, tmp_path):
    limit = 2_000_000
    many = large_page(page, 10_000, 100, texts=3_000, characters=4000)
    done = write_page(many, tmp_path / "report.html", max_bytes=limit)

    assert limit * 0.9 < done.bytes == (tmp_path / "report.html").stat().st_size < limit < MAX_BYTES
    assert done.rollouts == done.of == 10_000
    assert done.texts == 8 * done.groups
    text = (tmp_path / "report.html").read_text()
    assert "The numbers of all 10,000 rollouts are here: 9,000 of training, 1,000 held out." in text
    assert f"The texts of {done.texts:,} of them are here, in {done.groups:,} whole groups." in text
    assert f"The other {10_000 - done.texts:,} texts are not here." in text


def test_more_numbers_than_a_page_may_hold_become_whole_groups_of_all_steps(page, tmp_path):
    many = large_page(page, 80_000, 100, texts=80, characters=400)
    rollouts = many.views[0].run.rollouts
    # A failure in few groups.
    rollouts.scored[:] = np.arange(80_000) % 4_000 != 0
    limit = 1_000_000
    done = write_page(many, tmp_path / "report.html", max_bytes=limit)

    assert limit * 0.5 < done.bytes < limit
    assert done.rollouts < done.of == 80_000
    assert done.texts == 80
    text = (tmp_path / "report.html").read_text()
    assert f"The numbers of {done.rollouts:,} of the 80,000 rollouts are here" in text
    assert "20 of the 20 groups with a failure are here" in text


@pytest.mark.parametrize("make", [make_grpo, make_plain, make_sft])
def test_every_kind_of_run_has_a_page(make, tmp_path):
    run = read_run(make(tmp_path / "run"))
    html = written(make_page([run]), tmp_path)

    assert run.name in html
    assert ('id="rollouts"' in html) == (run.rollouts is not None)


def test_one_script_and_one_style_are_allowed_by_their_digests(page, tmp_path):
    html = written(page, tmp_path)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', html)[1].replace("&#39;", "'")
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)

    assert len(scripts) == len(styles) == 1
    for kind, (text,) in {"script": scripts, "style": styles}.items():
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    for refused in ("default-src 'none'", "base-uri 'none'", "form-action 'none'", "trusted-types 'none'"):
        assert refused in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_holds_what_ends_a_script(name):
    text = (WEB / name).read_text(encoding="utf-8").lower()

    assert "\r" not in text
    assert not re.search(r"</script|<script|<!--", text)
    assert not re.search(r"innerhtml|outerhtml|insertadjacenthtml|document\.write|\beval\(|new function|fetch\(", text)


@pytest.mark.parametrize("texts", ["sample", "all"])
def test_no_text_of_a_run_stands_in_the_file_as_html(page, tmp_path, texts):
    plain, hostile = (written(each, tmp_path / name) for name, each in (("a", page), ("b", attacked(page))))

    def tags(html: str) -> set[str]:
        return set(re.findall(r"<\s*/?\s*[a-zA-Z!][^\s>]*", html))

    assert tags(hostile) <= tags(plain)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u2028\u2029\x00\ufeff]", hostile)


def test_texts_of_all_rollouts_in_files_beside_the_page(page, tmp_path):
    done = write_page(page, tmp_path / "my report.html", texts="all")
    files = sorted((tmp_path / "my report_texts" / "run_1").iterdir())
    rollouts = page.views[0].run.rollouts

    assert done.files == len(files) == len(rollouts.files)
    assert [path.name for path in files][:2] == ["held_out_0.html", "held_out_2.html"]
    text = (tmp_path / "my report_texts" / "run_1" / "training_3.html").read_text()
    numbers = [int(number) for number in re.findall(r'<section id="rollout-(\d+)">', text)]
    assert numbers == list(range(((rollouts.step == 3) & ~rollouts.held_out).sum()))
    assert text.count("<details>") >= 2 * len(numbers)
    assert "<details open" not in text
    assert "<script" not in text
    assert 'href="../../my%20report.html#rollout=training~3~0"' in text
    assert "All texts stand in files in my report_texts/run_1." in (tmp_path / "my report.html").read_text()


def test_files_of_texts_are_written_again_only_where_the_dump_is_newer(page, tmp_path):
    run = make_grpo(tmp_path / "run", steps=3, validate_every=0)
    for expected in (3, 0):
        assert write_page(make_page([read_run(run)]), tmp_path / "report.html", texts="all").files == expected
    dump = run / "rollouts" / "2.jsonl"
    later = (tmp_path / "report_texts" / "run_1" / "training_2.html").stat().st_mtime + 5
    os.utime(dump, (later, later))

    assert write_page(make_page([read_run(run)]), tmp_path / "report.html", texts="all").files == 1


def test_attacks_in_files_of_texts_stay_text(tmp_path):
    run = make_grpo(tmp_path / "run", steps=1, validate_every=0)
    dump = run / "rollouts" / "1.jsonl"
    lines = [json.loads(line) for line in dump.read_text().splitlines()]
    for line, attack in zip(lines, ATTACKS * 3, strict=False):
        line |= {"input": attack, "output": attack + "</think>" + attack, "gts": attack, "extra": {attack: attack}}
    dump.write_text("\n".join(json.dumps(line) for line in lines))
    write_page(make_page([read_run(run)]), tmp_path / "report.html", texts="all")
    html = (tmp_path / "report_texts" / "run_1" / "training_1.html").read_text()

    assert set(re.findall(r"<\s*/?\s*([a-zA-Z!][^\s>]*)", html)) <= {
        *("!doctype", "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "a", "section"),
        *("details", "summary", "span", "pre"),
    }
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u2028\u2029\x00\ufeff]", html)


def test_a_page_that_cannot_be_written_leaves_the_old_one(page, tmp_path):
    written(page, tmp_path)
    before = (tmp_path / "report.html").read_bytes()
    with pytest.raises(OSError, match=r"nowhere/report\.html cannot be written"):
        write_page(page, tmp_path / "nowhere" / "report.html")
    broken = replace(page, views=(replace(page.views[0], setting=None),))
    with pytest.raises(Exception, match="differences"):
        write_page(broken, tmp_path / "report.html")

    assert (tmp_path / "report.html").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
