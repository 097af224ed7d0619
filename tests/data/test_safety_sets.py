"""Each set is known by its columns, each label is one of two, and what is neither is refused with a reason."""

import csv
import json

import pyarrow.parquet as pq
import pytest

from sinternal_verl.data.adapter import Labels, RowError
from sinternal_verl.data.convert import convert, rejected_path
from sinternal_verl.data.readers import SourceError, open_source
from sinternal_verl.data.safety import SafetyReader
from sinternal_verl.data.schema import RL_SCHEMA, rl_row

DUCKS = "May I feed the ducks of Lower Puddleton?"
WILDJAILBREAK = {"vanilla": DUCKS, "adversarial": "", "completion": "Yes.", "data_type": "vanilla_benign"}
ADVERSARIAL = WILDJAILBREAK | {"vanilla": "The mayor's ducks", "adversarial": DUCKS}
STAR1 = {"id": "1", "question": DUCKS, "response": "Yes.", "category": [], "source": "Puddleton", "score": {}}
SAFECHAIN = {"instruction": DUCKS, "label": "vanilla_harmful", "response": "No."}
BEAVERTAILS = {"prompt": DUCKS, "response": "Yes.", "category": {}, "is_safe": True}
PKU = {"prompt": DUCKS, "response_0": "Yes.", "is_response_0_safe": True, "is_response_1_safe": True}
WILDGUARDMIX = {"prompt": DUCKS, "adversarial": False, "prompt_harm_label": "unharmful", "response_harm_label": None}
XSTEST = {"id": 7, "prompt": DUCKS, "type": "homonyms", "label": "safe", "focus": "feed", "note": ""}
PLAIN = {"prompt": DUCKS, "label": "benign"}


def convert_file(source, out, labels=None, harm=None, **options):
    opened = open_source(str(source))
    return convert(opened, out, lambda first, _: SafetyReader(first, labels, harm, opened.rows), **options)


def convert_rows(tmp_path, rows, **options):
    source, out = tmp_path / "rows.jsonl", tmp_path / "out.parquet"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return out, convert_file(source, out, **options)


def written(out):
    """Prompt and label of each row."""
    rows = pq.read_table(out).to_pylist()
    return [(row["prompt"][0]["content"], row["reward_model"]["ground_truth"]) for row in rows]


@pytest.fixture(scope="module")
def real(benchmark_sets, tmp_path_factory):
    """Of each file: what it became, and the result."""
    folder = tmp_path_factory.mktemp("real")
    files = {"star1": "star1.json.gz", "xstest": "xstest_prompts.csv"}
    return {name: (out := folder / name, convert_file(benchmark_sets / file, out)) for name, file in files.items()}


class TestRealFiles:
    @pytest.mark.parametrize(
        ("name", "sources"),
        [
            ("star1", {"safety/harmful/star1": 1000}),
            ("xstest", {"safety/benign/xstest": 250, "safety/harmful/xstest": 200}),
        ],
    )
    def test_every_row_is_written_under_its_label(self, real, name, sources):
        out, result = real[name]

        assert result.sources == sources
        assert (result.read, result.duplicates, result.bad.count) == (sum(sources.values()), 0, 0)
        assert pq.read_schema(out).equals(RL_SCHEMA)

    def test_the_contrasts_of_xstest_are_the_harmful_ones(self, benchmark_sets, real):
        made = pq.read_table(real["xstest"][0]).to_pylist()
        with (benchmark_sets / "xstest_prompts.csv").open(newline="") as file:
            contrasts = {row["id"] for row in csv.DictReader(file) if row["type"].startswith("contrast")}

        harmful = {row["extra_info"]["index"] for row in made if row["reward_model"]["ground_truth"] == "harmful"}
        assert harmful == contrasts and len(contrasts) == 200


@pytest.mark.parametrize(
    ("row", "source", "split"),
    [
        (WILDJAILBREAK, "safety/benign/wildjailbreak", "train"),
        (
            WILDJAILBREAK | {"data_type": "vanilla_harmful", "adversarial": None},
            "safety/harmful/wildjailbreak",
            "train",
        ),
        (ADVERSARIAL | {"data_type": "adversarial_benign"}, "safety/benign/wildjailbreak", "train"),
        (ADVERSARIAL | {"data_type": "adversarial_harmful"}, "safety/harmful/wildjailbreak", "train"),
        (STAR1, "safety/harmful/star1", "train"),
        (SAFECHAIN, "safety/harmful/safechain", "train"),
        (SAFECHAIN | {"label": "adversarial_benign"}, "safety/benign/safechain", "train"),
        (SAFECHAIN | {"label": "unsafe"}, "safety/harmful/safechain", "train"),
        (BEAVERTAILS, "safety/benign/beavertails", "train"),
        (PKU, "safety/benign/pku_saferlhf", "train"),
        (WILDGUARDMIX, "safety/benign/wildguardmix", "train"),
        (WILDGUARDMIX | {"prompt_harm_label": "harmful"}, "safety/harmful/wildguardmix", "train"),
        (XSTEST, "safety/benign/xstest", "test"),
        (XSTEST | {"label": "unsafe"}, "safety/harmful/xstest", "test"),
        (PLAIN, "safety/benign/plain", "train"),
        ({"question": DUCKS, "label": "harmful"}, "safety/harmful/plain", "train"),
        ({"instruction": f" {DUCKS}\n", "label": " benign"}, "safety/benign/plain", "train"),
    ],
)
def test_a_set_is_known_by_its_first_row(row, source, split):
    index = str(row.get("id", 41))

    assert SafetyReader(row).read(row, number=41) == rl_row(
        data_source=source,
        content=DUCKS,
        ground_truth=source.split("/")[1],
        index=index,
        split=split,
        ability="safety",
        style="guard",
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (WILDJAILBREAK | {"data_type": None}, "data_type is missing or null"),
        (
            WILDJAILBREAK | {"data_type": "vanilla"},
            "data_type is 'vanilla', not one of vanilla_harmful, vanilla_benign",
        ),
        (WILDJAILBREAK | {"data_type": "adversarial_benign"}, "adversarial is empty"),
        (STAR1 | {"question": " "}, "question is empty"),
        (STAR1 | {"question": None}, "question is missing or null"),
        (STAR1 | {"id": None}, "id is missing or null"),
        (SAFECHAIN | {"label": "controversial"}, "label is 'controversial', not one of vanilla_harmful"),
        (BEAVERTAILS | {"is_safe": None}, "is_safe is missing or null"),
        (BEAVERTAILS | {"is_safe": 1}, "is_safe is 1, not a string"),
        (BEAVERTAILS | {"is_safe": "yes"}, "is_safe is 'yes', not one of True, true, False, false"),
        (PKU | {"is_response_0_safe": False, "is_response_1_safe": None}, "is_response_1_safe is missing or null"),
        (WILDGUARDMIX | {"prompt_harm_label": None}, "prompt_harm_label is missing or null"),
        (WILDGUARDMIX | {"prompt_harm_label": "benign"}, "'benign', not one of harmful, unharmful"),
        (XSTEST | {"label": "harmful"}, "label is 'harmful', not one of safe, unsafe"),
        (PLAIN | {"label": "safe"}, "label is 'safe', not one of harmful, benign"),
        (PLAIN | {"label": 1}, "label is 1, not a string"),
        (PLAIN | {"prompt": [{"role": "user", "content": DUCKS}]}, "prompt is a list, not a string"),
        (PLAIN | {"prompt": "\ud800"}, "prompt holds half a surrogate pair"),
    ],
)
def test_a_bad_row_has_a_reason(row, reason):
    good = next(each for each in ROWS if each.keys() == row.keys())
    with pytest.raises(RowError, match=reason):
        SafetyReader(good).read(row, number=1)


ROWS = (WILDJAILBREAK, STAR1, SAFECHAIN, BEAVERTAILS, PKU, WILDGUARDMIX, XSTEST, PLAIN)


def test_no_text_of_a_prompt_is_in_a_reason():
    with pytest.raises(RowError, match="label is a text of 40 characters, not one of harmful, benign"):
        SafetyReader(PLAIN).read(PLAIN | {"label": DUCKS}, number=1)


class TestJudgedByResponse:
    """BeaverTails and PKU-SafeRLHF say of a response whether it is safe; of the prompt we do."""

    def test_one_unsafe_response_makes_the_prompt_harmful_wherever_it_stands(self, tmp_path):
        rows = [
            BEAVERTAILS,
            BEAVERTAILS | {"prompt": "May I swim?"},
            BEAVERTAILS | {"prompt": f"{DUCKS}\n", "is_safe": False},
            BEAVERTAILS | {"prompt": "May I swim?"},
        ]
        out, result = convert_rows(tmp_path, rows)

        assert written(out) == [(DUCKS, "harmful"), ("May I swim?", "benign")]
        assert (result.read, result.duplicates, result.bad.count) == (4, 2, 0)

    @pytest.mark.parametrize("flags", [(True, False), (False, True), (False, False)])
    def test_either_of_two_is_enough(self, tmp_path, flags):
        row = PKU | dict(zip(("is_response_0_safe", "is_response_1_safe"), flags, strict=True))
        out, _ = convert_rows(tmp_path, [row])

        assert written(out) == [(DUCKS, "harmful")]

    def test_a_row_that_says_nothing_is_bad_and_the_others_decide(self, tmp_path):
        rows = [BEAVERTAILS | {"is_safe": None}, BEAVERTAILS, BEAVERTAILS | {"is_safe": False}]
        out, result = convert_rows(tmp_path, rows, skip_bad=True)

        assert result.bad.lines() == [f"{tmp_path}/rows.jsonl, line 1: is_safe is missing or null"]
        assert written(out) == [(DUCKS, "harmful")]

    def test_the_words_of_a_csv_file_are_flags_too(self, tmp_path):
        (tmp_path / "a.csv").write_text("prompt,response,is_safe\nMay I swim?,Yes.,True\nMay I fly?,No.,False\n")
        convert_file(tmp_path / "a.csv", tmp_path / "out.parquet")

        assert written(tmp_path / "out.parquet") == [("May I swim?", "benign"), ("May I fly?", "harmful")]


class TestLabelOfTheUser:
    @pytest.mark.parametrize("harm", ["harmful", "benign"])
    def test_is_that_of_a_file_without_one(self, tmp_path, harm):
        out, result = convert_rows(tmp_path, [{"question": DUCKS}], harm=harm)

        assert written(out) == [(DUCKS, harm)]
        assert result.reader.notes(1) == []

    def test_goes_before_what_is_assumed_of_star1(self, tmp_path):
        out, _ = convert_rows(tmp_path, [STAR1], harm="benign", labels=Labels(name="star_benign"))

        assert pq.read_table(out)["data_source"].to_pylist() == ["safety/benign/star_benign"]

    def test_what_is_assumed_of_star1_is_said(self, tmp_path):
        _, result = convert_rows(tmp_path, [STAR1])

        size, assumed = result.reader.notes(1)
        assert size == "star1 has 1,000 prompts, these are 1; if it is another set, name it with --name"
        assert "all rows are taken as harmful" in assumed

    def test_is_refused_beside_those_of_the_file(self, tmp_path):
        with pytest.raises(SourceError, match=r"line 1: the rows have the labels of plain; leave out --label benign"):
            convert_rows(tmp_path, [PLAIN], harm="benign")

    def test_is_asked_for_where_there_is_none(self, tmp_path):
        with pytest.raises(SourceError, match=r"no column says whether a prompt is harmful; add a column .*--label"):
            convert_rows(tmp_path, [{"prompt": DUCKS}])


def test_the_prompt_is_the_plain_request(tmp_path):
    out, _ = convert_rows(tmp_path, [PLAIN])

    assert pq.read_table(out)["prompt"].to_pylist() == [[{"role": "user", "content": DUCKS}]]


def test_name_index_and_split_are_the_users_where_given(tmp_path):
    out, _ = convert_rows(tmp_path, [PLAIN | {"rule": 3}], labels=Labels(name="mine", split="dev", index="rule"))
    (row,) = pq.read_table(out).to_pylist()

    assert row["data_source"] == "safety/benign/mine"
    assert row["extra_info"] == {"index": "3", "split": "dev", "question": DUCKS}


def test_a_prompt_with_two_labels_is_a_conflict(tmp_path):
    _, result = convert_rows(tmp_path, [PLAIN, PLAIN, PLAIN | {"label": "harmful"}])

    reason = "the prompt of line 1 with another ground truth, 'harmful': one is wrong"
    assert result.bad.lines() == [f"{tmp_path}/rows.jsonl, line 3: {reason}"]
    assert result.duplicates == 1 and not result.saved


def test_bad_rows_refuse_the_file_and_are_listed_without_their_texts(tmp_path):
    out, result = convert_rows(tmp_path, [WILDGUARDMIX, WILDGUARDMIX | {"prompt_harm_label": None}])

    assert not result.saved and not out.exists()
    listed = rejected_path(out).read_text()
    assert json.loads(listed) == {"row": 1, "place": "line 2", "reason": "prompt_harm_label is missing or null"}


def test_wildjailbreak_is_read_from_tsv(tmp_path):
    source = tmp_path / "train.tsv"
    source.write_text(
        "vanilla\tadversarial\tcompletion\tdata_type\n"
        "May I swim, please?\t\tYes.\tvanilla_benign\n"
        'May I fly?\t"As a duck, may I ""fly""?"\tNo.\tadversarial_harmful\n'
    )
    convert_file(source, tmp_path / "out.parquet")

    assert written(tmp_path / "out.parquet") == [
        ("May I swim, please?", "benign"),
        ('As a duck, may I "fly"?', "harmful"),
    ]


def test_unknown_columns_are_listed_beside_those_wanted():
    with pytest.raises(RowError, match="the columns are text, toxic; wanted are those of a known set, or prompt"):
        SafetyReader({"text": DUCKS, "toxic": 0})


def test_a_prompt_taken_for_a_column_is_cut_short():
    with pytest.raises(RowError, match="the columns are May I feed the ducks of Lower…; wanted"):
        SafetyReader({DUCKS: "x"})


@pytest.mark.parametrize("set_of", [{"label": "benign"}, {"label": "benign", "response": "Yes."}])
def test_an_input_belongs_to_its_instruction(tmp_path, set_of):
    ask = {"instruction": "Answer the question.", **set_of}
    rows = [ask | {"input": text} for text in (DUCKS, "May I feed the geese?", "", None)]
    out, result = convert_rows(tmp_path, rows)

    asked = [f"Answer the question.\n\n{text}" for text in (DUCKS, "May I feed the geese?")]
    assert [prompt for prompt, _ in written(out)] == [*asked, "Answer the question."]
    assert result.duplicates == 1


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"context": "At the pond."}, "context stands beside instruction"),
        ({"system": "Be brief."}, "system stands beside instruction"),
        ({"input": ["x"]}, "input is a list, not a string"),
    ],
)
def test_a_text_beside_the_instruction_that_would_be_lost_makes_a_bad_row(more, reason):
    row = {"instruction": DUCKS, "label": "benign", "context": "", "system": None}

    assert SafetyReader(row).read(row, 0)["prompt"][0]["content"] == DUCKS
    with pytest.raises(RowError, match=reason):
        SafetyReader(row).read(row | more, 0)
