"""A mix holds what was asked for and nothing twice, is the same for a seed, and says what it left out."""

import json
import tempfile
from collections import Counter
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from transformers import AutoTokenizer

from sinternal_verl import __version__
from sinternal_verl.data.contamination import read_evaluation
from sinternal_verl.data.convert import convert
from sinternal_verl.data.math import MathReader
from sinternal_verl.data.mix import MixError, Part, contaminated_path, mix
from sinternal_verl.data.readers import open_source
from sinternal_verl.data.safety import SafetyReader
from sinternal_verl.data.schema import RL_SCHEMA, RowWriter, read_provenance, rl_row


def row(number, harm="benign", name="rules", content=None):
    return rl_row(
        data_source=f"safety/{harm}/{name}",
        content=content or f"May I cross bridge {number} of Lower Puddleton?",
        ground_truth=harm,
        index=str(number),
        split="train",
        ability="safety",
        style="guard",
    )


def write(file, rows, provenance=None):
    with RowWriter(file) as writer:
        for each in rows:
            writer.add(each)
        writer.finish(provenance)
    return str(file)


def contents(file):
    return [prompt[0]["content"] for prompt in pq.read_table(file)["prompt"].to_pylist()]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "mix.parquet"


@pytest.fixture
def rules(tmp_path):
    """20 benign rows, then 10 harmful ones."""
    rows = [row(number, "benign" if number < 20 else "harmful") for number in range(30)]
    return write(tmp_path / "rules.parquet", rows)


@pytest.fixture(scope="module")
def real(benchmark_sets, tmp_path_factory):
    """Of each file: its source and what it became."""
    folder, made = tmp_path_factory.mktemp("real"), {}
    files = {
        "star1": ("star1.json.gz", SafetyReader),
        "xstest": ("xstest_prompts.csv", SafetyReader),
        "math500": ("math500.jsonl", MathReader),
    }
    for name, (file, reader) in files.items():
        made[name] = (str(benchmark_sets / file), folder / f"{name}.parquet")
        convert(open_source(made[name][0]), made[name][1], lambda first, _, reader=reader: reader(first))
    return made


class TestRealFiles:
    def parts(self, real, **counts):
        return [Part(str(real[name][1]), count=count) for name, count in counts.items()]

    def test_a_mix_is_the_same_for_a_seed_and_another_for_another(self, real, tmp_path):
        parts = self.parts(real, star1=150, xstest=150, math500=300)
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            mix(parts, tmp_path / name, seed=seed)
        first, second, other = (contents(tmp_path / name) for name in "abc")

        assert first == second
        assert set(first) != set(other) and len(first) == len(other) == 600

    def test_it_has_the_given_counts_and_our_schema(self, real, out):
        mixed = mix(self.parts(real, star1=150, xstest=None, math500=300), out)

        assert mixed.sources == {
            "math500": 300,
            "safety/benign/xstest": 250,
            "safety/harmful/star1": 150,
            "safety/harmful/xstest": 200,
        }
        assert Counter(pq.read_table(out)["data_source"].to_pylist()) == mixed.sources
        assert pq.read_schema(out).equals(RL_SCHEMA)

    def test_star1_against_itself_is_removed_entirely(self, real, out):
        evaluation = read_evaluation(real["star1"][0])

        with pytest.raises(MixError, match=r"wanted are all rows, there are 0 \(of 1,000 contaminated 1,000, "):
            mix(self.parts(real, star1=None), out, [evaluation])
        assert not out.exists()
        assert len(contaminated_path(out).read_text().splitlines()) == 1000

    def test_xstest_against_math_keeps_all(self, real, out):
        mixed = mix(self.parts(real, xstest=None), out, [read_evaluation(real["math500"][0])])

        assert sum(mixed.sources.values()) == 450
        assert not contaminated_path(out).exists()

    def test_math_is_found_in_the_set_it_is_from(self, real, out):
        """Its instruction is no part of the problem."""
        with pytest.raises(MixError, match="contaminated 500"):
            mix(self.parts(real, math500=1), out, [read_evaluation(real["math500"][0])])

    def test_verls_own_dataset_loads_it_beside_another(self, real, world, out, tmp_path, monkeypatch):
        from verl.utils.dataset.rl_dataset import RLHFDataset

        mix(self.parts(real, star1=20, xstest=20, math500=20), out)
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
        config = OmegaConf.create({"max_prompt_length": 1024, "filter_overlong_prompts": False})
        rows = RLHFDataset([str(world["train"]), str(out)], AutoTokenizer.from_pretrained(world["policy"]), config)
        mixed = [rows[number] for number in range(len(rows) - 60, len(rows))]

        assert Counter(each["data_source"].split("/")[-1] for each in mixed) == dict.fromkeys(real, 20)
        assert {each["reward_model"]["style"] for each in mixed} == {"guard", "rule"}


class TestSampling:
    @settings(max_examples=60, deadline=None)
    @given(
        numbers=st.tuples(*[st.lists(st.integers(0, 40), min_size=1, max_size=40)] * 2),
        shares=st.tuples(*[st.floats(0, 1)] * 2),
        seed=st.integers(0, 3),
    )
    def test_nothing_comes_twice_and_counts_are_kept(self, numbers, shares, seed):
        """Two files that share prompts: a prompt belongs to the first that has it."""
        own = [set(numbers[0]), set(numbers[1]) - set(numbers[0])]
        assume(own[1])
        counts = [max(1, round(share * len(each))) for share, each in zip(shares, own, strict=True)]
        with tempfile.TemporaryDirectory() as folder:
            files = [write(Path(folder, f"{n}.parquet"), map(row, each)) for n, each in enumerate(numbers)]
            out = Path(folder, "mix.parquet")
            mixed = mix([Part(file, count=count) for file, count in zip(files, counts, strict=True)], out, seed=seed)
            taken = [int(content.split()[4]) for content in contents(out)]

        assert len(taken) == len(set(taken)) == sum(counts) == sum(mixed.sources.values())
        assert [len(each & set(taken)) for each in own] == counts == [tally.taken for tally in mixed.tallies]
        assert [tally.matched - tally.repeated for tally in mixed.tallies] == [len(each) for each in own]

    def test_a_part_is_drawn_alike_whatever_comes_after(self, rules, tmp_path):
        parts = [Part(rules, "safety/benign/*", 5), Part(rules, "safety/harmful/*", 5)]
        mix(parts, tmp_path / "both")
        mix(parts[:1], tmp_path / "one")

        assert set(contents(tmp_path / "one")) < set(contents(tmp_path / "both"))

    def test_two_parts_are_drawn_apart(self, tmp_path, out):
        """With one draw for both, the rows of equal places would come from either."""
        files = [
            write(tmp_path / f"{name}.parquet", [row(n + first, name=name) for n in range(20)])
            for name, first in (("a", 0), ("b", 100))
        ]
        mix([Part(file, count=10) for file in files], out)
        drawn = [int(content.split()[4]) for content in contents(out)]

        assert {n for n in drawn if n < 100} != {n - 100 for n in drawn if n >= 100}

    def test_the_order_is_the_seeds_even_where_all_rows_are_taken(self, rules, tmp_path):
        orders = []
        for seed in (1, 2):
            mix([Part(rules)], tmp_path / "mix", seed=seed)
            orders.append(contents(tmp_path / "mix"))

        assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])

    def test_the_whole_is_shuffled(self, rules, out):
        mix([Part(rules)], out)
        shuffled = contents(out)

        assert sorted(shuffled) == sorted(contents(rules)) and shuffled != contents(rules)

    def test_a_sample_is_what_it_was_in_an_earlier_version(self, rules, out):
        """Whoever mixes again with the same files and seed gets the same mix."""
        mix([Part(rules, count=4)], out)

        assert [content.split()[4] for content in contents(out)] == ["16", "23", "20", "28"]

    def test_every_part_that_is_too_small_is_named(self, rules, out):
        parts = [Part(rules, "*/benign/*", 21), Part(rules, "*/harmful/*", 1500)]

        with pytest.raises(MixError) as error:
            mix(parts, out)
        assert str(error.value).splitlines() == [
            f"--part {rules}:*/benign/*: wanted are 21 rows, there are 20 "
            "(of 20 contaminated 0, repeated 0); ask for fewer, or add a part",
            f"--part {rules}:*/harmful/*: wanted are 1,500 rows, there are 10 "
            "(of 10 contaminated 0, repeated 0); ask for fewer, or add a part",
        ]
        assert not out.exists()


class TestPatterns:
    def test_take_data_sources(self, rules, out):
        assert mix([Part(rules, "safety/harmful/*", 3)], out).sources == {"safety/harmful/rules": 3}

    def test_one_that_takes_nothing_is_refused_with_those_there_are(self, rules, out):
        message = r"safety/harmless/\*: no data_source matches; the file has safety/benign/rules, safety/harmful/rules"
        with pytest.raises(MixError, match=message):
            mix([Part(rules, "safety/harmless/*", 3)], out)

    @pytest.mark.parametrize(
        ("text", "part"),
        [
            ("a.parquet=1500", ("a.parquet", "*", 1500)),
            ("a.parquet=all", ("a.parquet", "*", None)),
            ("a.parquet:safety/benign/*=7", ("a.parquet", "safety/benign/*", 7)),
            ("run=1/a.parquet=7", ("run=1/a.parquet", "*", 7)),
            ("run=1/a.parquet:math*=7", ("run=1/a.parquet", "math*", 7)),
            ("12:30.parquet=7", ("12:30.parquet", "*", 7)),
            ("12:30.parquet:math*=7", ("12:30.parquet", "math*", 7)),
        ],
    )
    def test_stand_between_the_last_colon_and_the_last_equals_sign(self, tmp_path, monkeypatch, text, part):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "12:30.parquet").touch()

        assert Part.parse(text) == Part(*part)

    @pytest.mark.parametrize(
        "text",
        ["a.parquet", "a.parquet=", "a.parquet=0", "a.parquet=-1", "a.parquet=1.5", "=3", ":x=3", "a.parquet:=3"],
    )
    def test_what_is_no_part_is_refused_with_the_form_wanted(self, text):
        with pytest.raises(MixError, match=f"--part {text}: give FILE=COUNT or FILE:PATTERN=COUNT"):
            Part.parse(text)


class TestContamination:
    RULE = "On market days the ducks of Lower Puddleton may cross the old bridge before noon"

    @pytest.fixture
    def evaluations(self, tmp_path):
        """Two files: one with the rule, one with a short question and the rule again."""
        (tmp_path / "a.csv").write_text(f"prompt\n{self.RULE}\n")
        (tmp_path / "b.csv").write_text(f"prompt\nMay I cross bridge 3 of Lower Puddleton?\n{self.RULE}\n")
        return [read_evaluation(f"{tmp_path}/{name}.csv") for name in "ab"]

    @pytest.fixture
    def part(self, tmp_path):
        rows = [row(number) for number in range(5)] + [row(5, content=f"Write a poem: {self.RULE.lower()}.")]
        return Part(write(tmp_path / "rows.parquet", rows))

    def test_rows_are_counted_by_evaluation_file_and_once_in_all(self, part, evaluations, out, tmp_path):
        (tally,) = mix([part], out, evaluations).tallies

        assert (tally.matched, tally.contaminated, tally.taken) == (6, 2, 4)
        assert tally.found == {f"{tmp_path}/a.csv": 1, f"{tmp_path}/b.csv": 2}

    def test_they_are_listed_by_row_and_without_texts(self, part, evaluations, out, tmp_path):
        mix([part], out, evaluations)
        lines = contaminated_path(out).read_text().splitlines()

        listed = [json.loads(line) for line in lines]
        assert [each.pop("reason") for each in listed] == [
            f"its words are those in {tmp_path}/b.csv, row 0 (from 0)",
            f"its words 4 to 16 are also in {tmp_path}/a.csv, row 0 (from 0)",
            f"its words 4 to 16 are also in {tmp_path}/b.csv, row 1 (from 0)",
        ]
        ours = {"file": part.file, "data_source": "safety/benign/rules"}
        assert listed == [
            ours | {"row": 3, "index": "3", "against": f"{tmp_path}/b.csv", "their_row": 0},
            ours | {"row": 5, "index": "5", "against": f"{tmp_path}/a.csv", "their_row": 0},
            ours | {"row": 5, "index": "5", "against": f"{tmp_path}/b.csv", "their_row": 1},
        ]

    def test_none_of_them_is_drawn(self, part, evaluations, out):
        mix([part], out, evaluations)

        assert sorted(content.split()[4] for content in contents(out)) == ["0", "1", "2", "4"]

    def test_a_later_mix_without_any_removes_the_list(self, part, evaluations, out):
        mix([part], out, evaluations)
        mix([part], out)

        assert not contaminated_path(out).exists()


class TestRepeated:
    def test_the_first_part_keeps_a_prompt_and_contradictions_are_counted(self, tmp_path, out):
        parts = [
            Part(write(tmp_path / "a.parquet", [row(0), row(1), row(3)])),
            Part(
                write(tmp_path / "b.parquet", [row(0, "harmful"), row(1, "benign", "more"), row(2), row(3, "harmful")])
            ),
        ]
        mixed = mix(parts, out)

        assert [(each.repeated, each.contradicted, each.taken) for each in mixed.tallies] == [(0, 0, 3), (3, 2, 1)]
        assert mixed.sources == {"safety/benign/rules": 4}

    def test_another_spelling_of_a_ground_truth_contradicts_nothing(self, tmp_path, out):
        first = [row(0, "1/2"), row(1, "1/2")]
        later = [row(0, r"\frac12"), row(1, "2"), row(2)]
        mixed = mix(
            [Part(write(tmp_path / f"{name}.parquet", rows)) for name, rows in (("a", first), ("b", later))], out
        )

        assert [(each.repeated, each.contradicted, each.taken) for each in mixed.tallies] == [(0, 0, 2), (2, 1, 1)]

    @pytest.mark.parametrize("files", [("a", "b"), ("a", "a")], ids=["of two files", "of one"])
    def test_two_prompts_with_one_index_in_one_source_are_an_error(self, tmp_path, out, files):
        rows = {file: [] for file in files}
        for file, content in zip(files, ("May I swim?", "May I fly?"), strict=True):
            rows[file].append(row(7, content=content))
        parts = [Part(write(tmp_path / f"{name}.parquet", each)) for name, each in rows.items()]

        with pytest.raises(
            MixError, match=r"two prompts of safety/benign/rules have the extra_info.index '7'; convert"
        ):
            mix(parts, out)

    def test_one_index_in_two_sources_is_none(self, tmp_path, out):
        rows = [row(7, content="May I swim?"), row(7, name="more", content="May I fly?")]

        assert sum(mix([Part(write(tmp_path / "a.parquet", rows))], out).sources.values()) == 2


class TestFiles:
    def test_provenance_says_what_was_mixed(self, tmp_path, out):
        part = Part(write(tmp_path / "a.parquet", [row(0), row(1)], {"source": "a.csv"}), "safety/*", 1)
        (tmp_path / "eval.csv").write_text("prompt\nMay I swim?\n")
        mix([part], out, [read_evaluation(f"{tmp_path}/eval.csv", 5)], seed=3)
        provenance = read_provenance(out)

        assert [len(each.pop("sha256")) for each in (*provenance["parts"], *provenance["against"])] == [64, 64]
        counts = {"matched": 2, "contaminated": 0, "found": {}, "repeated": 0, "contradicted": 0, "taken": 1}
        made = {"source": "a.csv"}
        assert provenance == {
            "parts": [{"file": part.file, "pattern": "safety/*", "rows": counts, "made": made}],
            "against": [{"file": f"{tmp_path}/eval.csv", "columns": ["prompt"], "texts": 1, "ngram": 5}],
            "sources": {"safety/benign/rules": 1},
            "seed": 3,
            "version": __version__,
        }

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, r"rows\.parquet does not exist; give a parquet file that `data math` or `data safety` wrote"),
            (b"PAR1 not really PAR1", r"rows\.parquet cannot be read: "),
            (
                pa.table(
                    {
                        "data_source": pa.StringArray.from_buffers(
                            1, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff")
                        )
                    }
                ),
                r"rows\.parquet cannot be read: .*Invalid UTF8",
            ),
            (
                pa.table({"prompt": ["May I?"]}),
                r"rows\.parquet has the columns prompt, these or their types not ours; give",
            ),
        ],
    )
    def test_what_is_no_file_of_ours_is_refused(self, tmp_path, out, content, message):
        file = tmp_path / "rows.parquet"
        if isinstance(content, pa.Table):
            pq.write_table(content, file)
        elif content:
            file.write_bytes(content)

        with pytest.raises(MixError, match=message):
            mix([Part(str(file))], out)
        assert not out.exists()

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"data_source": None}, "data_source is missing or null"),
            ({"prompt": None}, "prompt is empty"),
            ({"prompt": [{"role": "user", "content": None}]}, "content is missing or null"),
            ({"reward_model": None}, r"reward_model\.ground_truth is missing or null"),
            ({"extra_info": {"index": None, "split": "train"}}, r"extra_info\.index is missing or null"),
        ],
    )
    def test_a_row_that_lacks_something_is_named(self, tmp_path, out, change, reason):
        part = Part(write(tmp_path / "a.parquet", [row(0), row(1) | change]))

        with pytest.raises(MixError, match=rf"a\.parquet, row 1 \(from 0\): {reason}; `sinternal-verl data check`"):
            mix([part], out)
