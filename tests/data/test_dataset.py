"""A build's rows rendered as verl reads them: SFT and RL, any specification and target, no new file."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from transformers import AutoTokenizer
from verification_rows import PROMPT, ROW, provenance, write_build

from sinternal_verl.data.dataset import VerificationDataset, VerificationRLDataset
from sinternal_verl.data.rendering import RenderingError
from sinternal_verl.data.schema import rl_row, write_rl_rows
from sinternal_verl.data.specification import load_specification
from sinternal_verl.scoring.registry import Router
from sinternal_verl.scoring.score import Outcome, Sample
from sinternal_verl.verify.select import write_rows


@pytest.fixture
def built(tmp_path):
    return write_build(tmp_path / "train.parquet", [ROW, ROW | {"verdict": "safe", "sample": 4}])


@pytest.fixture(scope="module")
def tokenizer(world):
    return AutoTokenizer.from_pretrained(world["policy"])


def sft(built, tokenizer, **verification):
    config = {"max_length": 4096, "truncation": "error", "verification": verification}
    return VerificationDataset(built, tokenizer, OmegaConf.create(config))


def learned(item, tokenizer) -> tuple[str, str]:
    mask = item["loss_mask"].bool()
    return tokenizer.decode(item["input_ids"][~mask]), tokenizer.decode(item["input_ids"][mask])


@pytest.mark.parametrize(
    ("target", "completion"),
    [
        ("critique+judgment", "It lends the lamp.\n</think>\n\nVerdict: unsafe"),
        ("judgment", "</think>\n\nVerdict: unsafe"),
        ("critique", "It lends the lamp.\n</think>"),
    ],
)
def test_sft_of_each_target(built, tokenizer, target, completion):
    read, written = learned(sft(built, tokenizer, target=target)[0], tokenizer)

    assert written == completion + tokenizer.eos_token
    assert read == learned(sft(built, tokenizer)[0], tokenizer)[0] and "as built" in read


def test_without_settings_rows_are_what_was_built(built, tokenizer):
    made = sft(built, tokenizer)

    assert made.render(ROW) == (ROW["prompt"], ROW["completion"])
    assert made.render(ROW | {"completion": "It lends.\n\nVerdict: unsafe"})[1] == "It lends.\n\nVerdict: unsafe"


def test_without_the_paths_of_its_rules_a_file_is_still_read(tmp_path, tokenizer):
    (tmp_path / "orla.yaml").write_text(RULES.format("Nobody lends the lamp."))
    built = write_build(tmp_path / "train.parquet", [ROW], specification=str(tmp_path / "orla.yaml"))
    (tmp_path / "orla.yaml").unlink()

    assert learned(sft(built, tokenizer, target="judgment")[0], tokenizer)[1].startswith("</think>\n\nVerdict")


def test_another_specification_shows_another_prompt(built, tokenizer):
    shown = {
        name: learned(sft(built, tokenizer, specification=name)[0], tokenizer)[0]
        for name in ("brief", "eight_categories")
    }

    assert "A brief safety specification" in shown["brief"]
    assert "eight categories" in shown["eight_categories"]


RULES = "title: Orla\nversion: '1'\ncategories: [{{name: Keeping, rules: [{}]}}]\n"


def test_the_rules_of_the_build_are_those_of_another_prompt(tmp_path, tokenizer, prompt_file):
    (tmp_path / "orla.yaml").write_text(RULES.format("Nobody lends the lamp."))
    built = write_build(tmp_path / "train.parquet", [ROW], specification=str(tmp_path / "orla.yaml"))

    read = learned(sft(built, tokenizer, prompt=prompt_file)[0], tokenizer)[0]
    assert "Held against Orla (version 1)" in read and "Nobody lends the lamp." in read
    (tmp_path / "orla.yaml").write_text(RULES.format("Nobody sells the lamp."))
    with pytest.raises(RenderingError, match=r"orla\.yaml has other rules now"):
        sft(built, tokenizer, prompt=prompt_file)


def test_the_prompt_of_the_build_is_that_of_another_specification(built, tokenizer):
    made = sft(built, tokenizer, specification="eight_categories")

    text = PROMPT.fill(load_specification("eight_categories").text, "Lend it?", "Come at noon.")
    assert made.render(ROW)[0] == [{"role": "user", "content": text}]


@pytest.mark.parametrize(
    ("built_with", "asked", "reason"),
    [
        ([None], {"prompt": True}, "does not tell the specification"),
        ([None], {"specification": "brief"}, "does not tell the prompt"),
        ([None], {"thinks": False}, "does not tell the target"),
        ([{"specification": "brief"}, {"specification": "eight_categories"}], {"prompt": True}, "more than one spec"),
        ([{"target": "judgment"}, {"target": "critique"}], {"thinks": False}, "more than one target"),
    ],
)
def test_what_the_files_leave_open_is_asked_for(tmp_path, tokenizer, prompt_file, built_with, asked, reason):
    files = []
    for number, settings in enumerate(built_with):
        files.append(str(tmp_path / f"{number}.parquet"))
        write_rows([ROW], tmp_path / f"{number}.parquet", {} if settings is None else provenance(**settings))
    asked = {key: prompt_file if key == "prompt" else value for key, value in asked.items()}

    with pytest.raises(RenderingError, match=f"{reason}.*give data.verification."):
        sft(files, tokenizer, **asked)
    assert len(sft(files, tokenizer, target="judgment")) == len(files)


def test_of_a_model_that_does_not_think_the_critique_is_part_of_the_answer(built, world):
    tokenizer = AutoTokenizer.from_pretrained(world["policy"])
    with pytest.raises(ValueError, match=r"row 0 and 1 more: the chat template opens a thought.*thinks=true"):
        sft(built, tokenizer, thinks=False)

    tokenizer.chat_template = tokenizer.chat_template.replace("<think>\n", "")
    written = learned(sft(built, tokenizer, thinks=False)[0], tokenizer)[1]
    assert written == "It lends the lamp.\n\nVerdict: unsafe" + tokenizer.eos_token


@pytest.mark.parametrize("column", ["request", "answer", "critique", "verdict"])
def test_a_row_with_a_null_is_refused(built, tokenizer, column):
    table = pq.read_table(built)
    at = table.schema.get_field_index(column)
    pq.write_table(table.set_column(at, column, pa.array([table[column][0].as_py(), None])), built)

    with pytest.raises(ValueError, match=rf"train\.parquet, row 1: it has no {column}"):
        sft(built, tokenizer)


@pytest.fixture
def prompt_file(tmp_path):
    (tmp_path / "prompt.txt").write_text("Held against {specification}: {request} / {answer}")
    return str(tmp_path / "prompt.txt")


def test_a_prompt_of_ones_own_is_what_is_read(built, tokenizer, prompt_file):
    made = sft(built, tokenizer, prompt=prompt_file, specification="brief")
    read = learned(made[0], tokenizer)[0]

    assert [message["role"] for message in made.render(ROW)[0]] == ["user"]
    assert "Held against A brief safety specification" in read and ": Lend it? / Come at noon." in read


@pytest.mark.parametrize(
    ("verification", "reason"),
    [
        ({"target": "answer"}, "choose critique"),
        ({"target": ["judgment"]}, "choose critique"),
        ({"specification": "nine"}, "brief, eight_categories"),
        ({"specification": ""}, "brief, eight_categories"),
        ({"prompt": "/no/prompt.txt"}, "cannot be read"),
        ({"thinks": "no"}, "true or false"),
        ({"taget": "judgment"}, "has specification, prompt, target, thinks"),
    ],
)
def test_a_choice_that_does_not_exist_is_named(built, tokenizer, verification, reason):
    with pytest.raises(RenderingError, match=reason) as caught:
        sft(built, tokenizer, **verification)
    assert [fault.key for fault in caught.value.faults] == [f"data.verification.{key}" for key in verification]


def test_all_are_named_at_once(built, tokenizer):
    with pytest.raises(RenderingError) as caught:
        sft(built, tokenizer, specification="nine", target="answer", thinks="no")
    assert len(caught.value.faults) == len(str(caught.value).splitlines()) == 3


def test_rl_rows_beside_those_of_another_file(built, tokenizer, tmp_path):
    sums = tmp_path / "sums.parquet"
    write_rl_rows(sums, [rl_row(data_source="math", content="1+1?", ground_truth="2", index="0", split="train")])
    config = OmegaConf.create(
        {"cache_dir": str(tmp_path / "cache"), "max_prompt_length": 4096, "filter_overlong_prompts_workers": 1}
    )
    rows = VerificationRLDataset([built, str(sums)], tokenizer, config)

    assert [row["data_source"] for row in rows] == ["verification/harmful"] * 2 + ["math"]
    assert [row["reward_model"]["ground_truth"] for row in rows] == ["unsafe", "safe", "2"]
    assert [row["extra_info"]["index"] for row in rows] == ["7/3", "7/4", "0"]
    assert rows[0]["raw_prompt"][0]["content"] == "as built" and rows[0]["extra_info"]["index"] == "7/3"
    rows.resume_dataset_state()
    assert len(rows) == 3


def test_rl_rows_follow_specification_prompt_and_a_changed_file(built, tokenizer, tmp_path, prompt_file):
    def first(**verification):
        config = OmegaConf.create(
            {"cache_dir": str(tmp_path), "filter_overlong_prompts": False, "verification": verification}
        )
        return VerificationRLDataset(built, tokenizer, config)[0]

    assert first()["raw_prompt"][0]["content"] == "as built"
    assert "Rules: A brief" in first(specification="brief")["raw_prompt"][0]["content"]
    assert "Held against" in first(prompt=prompt_file)["raw_prompt"][0]["content"]
    write_build(tmp_path / "train.parquet", [ROW | {"request": "Sell it?"}])
    assert "Sell it?" in first(specification="brief")["raw_prompt"][0]["content"]


@pytest.mark.parametrize(
    ("response", "truth", "value", "outcome"),
    [
        ("It lends.\n</think>\n\nVerdict: unsafe", "unsafe", 1.0, Outcome.CORRECT),
        ("It lends.\n</think>\n\nVerdict: safe", "unsafe", 0.0, Outcome.MISMATCH),
        ("It lends.\n</think>\n\nunsafe", "unsafe", 0.0, Outcome.NO_VERDICT),
        ("It lends.\n</think>\n\nVerdict: safe\nVerdict: unsafe", "unsafe", 0.0, Outcome.NO_VERDICT),
        ("Verdict: unsafe", "unsafe", 0.0, Outcome.THOUGHT_UNCLOSED),
        ("It lends.\n</think>\n\nVerdict: unsafe", "harmful", 0.0, Outcome.BAD_GOLD),
        ("It lends.\n</think>\n\nVerdict: unsafe", None, 0.0, Outcome.BAD_GOLD),
    ],
)
def test_the_scorer_of_the_recipe_takes_them(grpo_config, response, truth, value, outcome):
    router = Router.from_config(OmegaConf.to_container(grpo_config().sinternal.scorers, resolve=True))
    score = router.find("verification/harmful").call(Sample("verification/harmful", response, truth))

    assert (score.value, score.outcome) == (value, outcome)
    assert score.scored == (outcome is not Outcome.BAD_GOLD)
