"""What stands in an exported folder besides the weights, and what is said before and after."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import metadata_load
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from sinternal_verl.commands.export import export
from sinternal_verl.data.schema import PROVENANCE, write_rl_rows
from sinternal_verl.export import folder as folder_module
from sinternal_verl.export import needs
from sinternal_verl.runs.digests import digest_of


@pytest.fixture
def run(save, trained) -> Path:
    return save(trained)


@pytest.fixture
def base(world, tmp_path) -> Path:
    """A copy of the policy to change."""
    return Path(shutil.copytree(world["policy"], tmp_path / "base"))


def huggingface(run: Path) -> Path:
    return run / "global_step_3" / "huggingface"


def remember(run: Path, **record) -> None:
    (run / "sinternal_run.json").write_text(json.dumps(record))


def drop_tokenizer(folder: Path) -> None:
    for file in [*folder.glob("*token*"), *folder.glob("chat_template*")]:
        file.unlink()


class TestTokenizer:
    def test_it_is_copied_as_the_checkpoint_has_it(self, run, world, tmp_path):
        assert export(str(run), str(tmp_path / "out"), str(world["policy"]), False) == 0
        for file in huggingface(run).glob("*token*"):
            assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (None, "holds no tokenizer"),
            ("", "holds no tokenizer"),
            ("{", "holds a tokenizer.json that cannot be read"),
            ('{"model": {"vocab": {"a": 0}}}', "holds a tokenizer of 1 tokens"),
            ('{"model": {"vocab": {"a": 0, "b": 99999}}}', "holds a tokenizer with ids up to 99999"),
        ],
    )
    def test_where_it_is_not_whole_the_bases_is_taken(self, run, world, tmp_path, capsys, content, words):
        drop_tokenizer(huggingface(run))
        if content is not None:
            (huggingface(run) / "tokenizer.json").write_text(content)

        assert export(str(run), str(tmp_path / "without"), None, False) == 2
        assert words in (said := capsys.readouterr().err) and "--base" in said
        assert export(str(run), str(tmp_path / "out"), str(world["policy"]), False) == 0
        assert f"{words}" in (said := capsys.readouterr().out) and f"is that of {world['policy']}" in said
        made, wanted = (AutoTokenizer.from_pretrained(each) for each in (tmp_path / "out", world["policy"]))
        assert made.get_vocab() == wanted.get_vocab() and made.chat_template == wanted.chat_template

    @pytest.mark.parametrize("lost", ["settings", "template", "both", "settings that cannot be read"])
    @pytest.mark.parametrize("inside", [False, True], ids=["template in a file", "template in the settings"])
    def test_what_it_lost_is_the_bases(self, run, base, world, tmp_path, capsys, lost, inside):
        template, settings = "{{ messages[0].content }} and so on", "tokenizer_config.json"
        wanted = {"chat_template": template} if inside else {}
        (base / "chat_template.jinja").unlink(missing_ok=True)
        without = {key: value for key, value in json.loads((base / settings).read_text()).items() if "chat" not in key}
        (base / settings).write_text(json.dumps(without | wanted))
        if not inside:
            (base / "chat_template.jinja").write_text(template)
        for file in huggingface(run).glob("chat_template*"):
            file.unlink()
        own = {} if lost == "template" else {"chat_template": "own"}
        (huggingface(run) / settings).write_text(json.dumps(without | own))
        if lost in ("settings", "both"):
            (huggingface(run) / settings).unlink()
        if lost == "settings":
            (huggingface(run) / "chat_template.jinja").write_text("own")
        if lost == "settings that cannot be read":
            (huggingface(run) / settings).write_text("{")

        assert export(str(run), str(tmp_path / "out"), str(base), False) == 0
        said = capsys.readouterr().out
        assert ("the settings of the tokenizer are those of" in said) is (lost != "template")
        assert (f"the chat template is that of {base}" in said) is (lost != "settings")
        made = AutoTokenizer.from_pretrained(tmp_path / "out")
        assert made.chat_template == ("own" if lost == "settings" else template)
        assert made.eos_token == AutoTokenizer.from_pretrained(world["policy"]).eos_token

    def test_what_no_one_has_is_told(self, run, base, tmp_path, capsys):
        for folder in (base, huggingface(run)):
            for file in [*folder.glob("chat_template*"), folder / "tokenizer_config.json"]:
                file.unlink(missing_ok=True)

        for each in (str(base), None):
            assert export(str(run), str(tmp_path / f"out_{each is None}"), each, False) == 0
            said = capsys.readouterr().out
            assert "there is no chat template in" in said and "there is no whole tokenizer_config.json in" in said

    def test_the_checkpoints_own_template_goes_before_the_bases(self, run, base, tmp_path, capsys):
        (base / "chat_template.jinja").write_text("of the base")

        assert export(str(run), str(tmp_path / "out"), str(base), False) == 0
        assert "template" not in capsys.readouterr().out
        made, own = (AutoTokenizer.from_pretrained(each) for each in (tmp_path / "out", huggingface(run)))
        assert made.chat_template == own.chat_template != "of the base"

    def test_a_runs_own_tokenizer_goes_before_the_bases(self, run, base, world, tmp_path, capsys):
        drop_tokenizer(huggingface(run))
        own = Path(shutil.copytree(world["policy"], tmp_path / "own"))
        remember(run, identity={"model.path": str(base), "model.tokenizer_path": str(own)})

        assert export(str(run), str(tmp_path / "out"), None, False) == 0
        assert f"the tokenizer is that of {own}" in capsys.readouterr().out


class TestConfiguration:
    def test_readers_of_all_times_find_dtype_and_rope(self, run, world, tmp_path):
        rope = {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}
        file = huggingface(run) / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"rope_parameters": rope, "_name_or_path": "/tmp/x"}))

        assert export(str(run), str(tmp_path / "out"), str(world["policy"]), False) == 0
        config = json.loads((tmp_path / "out" / "config.json").read_text())
        assert config["dtype"] == config["torch_dtype"] == "float32"
        assert (config["rope_theta"], config["rope_scaling"]) == (5e5, {"rope_type": "linear", "factor": 2.0})
        assert "_name_or_path" not in config
        assert AutoConfig.from_pretrained(tmp_path / "out").rope_parameters == rope

    @pytest.mark.parametrize("dtype", ["bfloat16", None])
    @pytest.mark.parametrize("key", ["dtype", "torch_dtype"])
    def test_the_bases_dtype_goes_by_either_key_or_its_weights(self, run, base, tmp_path, key, dtype):
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(base)
        config = json.loads((base / "config.json").read_text())
        config.pop("dtype")
        (base / "config.json").write_text(json.dumps(config | ({key: dtype} if dtype else {})))

        assert export(str(run), str(tmp_path / "out"), str(base), False) == 0
        assert {value.dtype for value in load_file(tmp_path / "out" / "model.safetensors").values()} == {torch.bfloat16}

    @pytest.mark.parametrize("where", ["checkpoint", "base", "nowhere"])
    def test_generation_is_copied_as_it_is(self, run, base, tmp_path, where):
        # transformers refuses to write a temperature without sampling, with which models are published.
        settings = {"do_sample": False, "temperature": 0.6, "eos_token_id": [1, 2]}
        for folder in (huggingface(run), base):
            (folder / "generation_config.json").unlink(missing_ok=True)
        if where != "nowhere":
            folder = huggingface(run) if where == "checkpoint" else base
            (folder / "generation_config.json").write_text(json.dumps(settings))

        assert export(str(run), str(tmp_path / "out"), str(base), False) == 0
        written = tmp_path / "out" / "generation_config.json"
        assert (json.loads(written.read_text()) if written.is_file() else None) == (
            None if where == "nowhere" else settings
        )

    def test_weights_above_a_files_size_are_written_in_several(self, run, trained, world, tmp_path, monkeypatch):
        monkeypatch.setattr(folder_module, "MAX_FILE_BYTES", 10**6)

        assert export(str(run), str(tmp_path / "out"), str(world["policy"]), False) == 0
        assert len(list((tmp_path / "out").glob("model-*-of-*.safetensors"))) > 1
        read = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).state_dict()
        assert all(torch.equal(read[name], trained[name]) for name in trained)


class TestCard:
    def front(self, folder: Path) -> dict:
        return metadata_load(folder / "README.md")

    def test_a_path_is_no_base_model(self, run, base, tmp_path):
        assert export(str(run), str(tmp_path / "out"), str(base), False) == 0
        assert self.front(tmp_path / "out") == {"library_name": "transformers", "tags": ["safety", "sinternal"]}
        assert "The base model's licence applies." in (tmp_path / "out" / "README.md").read_text()

    def test_a_relative_path_is_none_either(self, run, base, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "models").mkdir()
        base.rename(tmp_path / "models" / "mine")
        remember(run, identity={"model.path": "models/mine"})

        assert export(str(run), str(tmp_path / "out"), None, False) == 0
        assert "base_model" not in self.front(tmp_path / "out")

    def test_a_model_of_the_hubs_cache_has_its_id_and_commit(self, run, base, tmp_path):
        cached = tmp_path / "hub" / "models--org--small-model" / "snapshots" / "0123abcd"
        shutil.copytree(base, cached)

        assert export(str(run), str(tmp_path / "out"), str(cached), False) == 0
        front = self.front(tmp_path / "out")
        assert (front["base_model"], front["base_model_relation"]) == ("org/small-model", "finetune")
        assert '"commit": "0123abcd"' in (tmp_path / "out" / "README.md").read_text()

    def test_the_card_of_the_base_says_its_licence_and_where_it_comes_from(self, run, base, tmp_path):
        (base / "README.md").write_text("---\nlicense: mit\nbase_model: org/first\n---\n# Base\n")

        assert export(str(run), str(tmp_path / "out"), str(base), False) == 0
        front = self.front(tmp_path / "out")
        assert (front["base_model"], front["license"]) == ("org/first", "mit")
        assert "a folder that comes from org/first" in (tmp_path / "out" / "README.md").read_text()

    @pytest.mark.parametrize("lost", ["tokenizer", "settings", "template", "nothing"])
    def test_it_holds_no_path_of_this_machine(self, run, base, tmp_path, capsys, lost):
        if lost == "tokenizer":
            drop_tokenizer(huggingface(run))
        if lost == "settings":
            (huggingface(run) / "tokenizer_config.json").unlink()
        if lost == "template":
            for file in huggingface(run).glob("chat_template*"):
                file.unlink()
        (tmp_path / "train.parquet").touch()
        named = {"model.path": str(base), "data.train_files": [str(tmp_path / "train.parquet")]}
        named |= {"sinternal.recipe": "sinternal_sft", "sinternal.guard.model": "~/guard", "data.seed": 3}
        remember(run, identity=named, metrics=str(tmp_path / "metrics.jsonl"))

        assert export(str(run), str(tmp_path / "out"), None, False) == 0
        text = (tmp_path / "out" / "README.md").read_text()
        assert str(tmp_path) not in text and "~/" not in text
        assert '"model.path": "base"' in text and '"train.parquet"' in text
        said = [line.partition(" note: ")[2] for line in capsys.readouterr().out.splitlines() if " note: " in line]
        assert bool(said) is (lost != "nothing") and all(str(base) in note for note in said)
        for note in said:
            shown = note.replace(str(base), "base").replace(str(huggingface(run)), "huggingface")
            assert f"\n{shown[0].upper()}{shown[1:]}.\n" in text

    @pytest.mark.parametrize(
        "card",
        [b"---\nlicense: [mit\n---\n", b"---\n- mit\n---\n", b"---\nlicense: \xff\n---\n", b"---\na: b: c\n---\n", b""],
    )
    def test_a_card_of_the_base_that_cannot_be_read_counts_as_none(self, run, base, tmp_path, card):
        (base / "README.md").write_bytes(card)

        assert export(str(run), str(tmp_path / "out"), str(base), False) == 0
        assert "The base model's licence applies." in (tmp_path / "out" / "README.md").read_text()

    def test_it_says_what_the_run_was_trained_on(self, run, base, tmp_path):
        import pyarrow.parquet as pq

        file, changed = tmp_path / "train.parquet", tmp_path / "changed.parquet"
        for each in (file, changed):
            write_rl_rows(each, [])
            made = json.dumps({"source": "org/set", "config": None, "split": "train", "revision": None})
            pq.write_table(pq.read_table(each).replace_schema_metadata({PROVENANCE: made}), each)
        files = [str(file), str(changed), "/gone/far.parquet"]
        digests = {"data.train_files": [digest_of(str(file)), "another", "a third"]}
        remember(run, identity={"data.train_files": files, "model.path": str(base)}, digests=digests)

        assert export(str(run), str(tmp_path / "out"), None, False) == 0
        assert self.front(tmp_path / "out")["datasets"] == ["org/set"]
        text = (tmp_path / "out" / "README.md").read_text()
        made = json.loads(text.partition("```json\n")[2].partition("\n```")[0])["data"]
        assert [entry["file"] for entry in made] == ["train.parquet", "changed.parquet", "far.parquet"]
        assert [entry.get("made", {}).get("source") for entry in made] == ["org/set", None, None]


class TestBase:
    def test_one_that_is_gone_is_told_and_not_compared(self, run, tmp_path, capsys):
        remember(run, identity={"model.path": str(tmp_path / "gone")})

        assert export(str(run), str(tmp_path / "out"), None, False) == 0
        said = capsys.readouterr()
        assert f"the run's base model: {tmp_path / 'gone'} is neither a folder here" in said.err
        assert "was not compared with it; --base names one" in said.out

    def test_a_folder_that_is_gone_is_not_looked_for_on_the_hub(self, run, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: pytest.fail("the hub was asked"))
        remember(run, identity={"model.path": "models/mine"}, digests={"model.path": ["0123"]})

        assert export(str(run), str(tmp_path / "out"), None, False) == 0
        assert "models/mine is not here any more" in capsys.readouterr().err

    @pytest.mark.parametrize(("was", "told"), [("0123", True), ("commit 0123", False)])
    def test_another_one_that_is_given_is_told_where_they_can_be_compared(self, run, base, tmp_path, capsys, was, told):
        remember(run, identity={"model.path": "org/model"}, digests={"model.path": [was]})

        assert export(str(run), str(tmp_path / "out"), str(base), False) == 0
        assert ("is not what the run was started from" in capsys.readouterr().err) is told

    def test_one_that_has_changed_since_is_not_taken_for_the_base(self, run, base, tmp_path, capsys):
        remember(run, identity={"model.path": str(base)}, digests={"model.path": ["what it was"]})

        assert export(str(run), str(tmp_path / "out"), None, False) == 0
        assert f"{base} has changed since the run was started from it" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            ("config.json", b"{", "config.json cannot be read"),
            ("config.json", b"[]", "config.json holds no object"),
            ("config.json", b"\xff", "config.json cannot be read"),
            ("model.safetensors.index.json", b"{", "index.json cannot be read"),
            ("model.safetensors.index.json", b"{}", "does not say which file has which weights"),
            (
                "model.safetensors.index.json",
                b'{"weight_map": {"model.norm.weight": "gone.safetensors"}}',
                "gone.safetensors of the base model cannot be read",
            ),
            ("model.safetensors", b"short", "model.safetensors of the base model cannot be read"),
        ],
    )
    def test_one_that_is_not_whole_is_named_before_weights_are_read(
        self, run, base, tmp_path, capsys, monkeypatch, name, content, words
    ):
        configuration = json.loads((base / "config.json").read_text())
        configuration.pop("dtype", None)
        (base / "config.json").write_text(json.dumps(configuration))
        (base / name).write_bytes(content)
        monkeypatch.setattr("sinternal_verl.export.write.write_weights", lambda *_: pytest.fail("weights were written"))

        assert export(str(run), str(tmp_path / "out"), str(base), False) == 2
        assert words in capsys.readouterr().err

    def test_another_model_is_refused_for_an_adapter_alone(self, save, base, tmp_path, capsys):
        lora = {
            "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight": torch.ones(4, 128),
            "base_model.model.model.layers.0.self_attn.q_proj.lora_B.default.weight": torch.ones(128, 4),
        }
        run = save(lora, lora={"r": 4, "lora_alpha": 8})
        file = base / "model.safetensors"
        weights = load_file(file) | {"model.norm.weight": torch.ones(7)}
        from safetensors.torch import save_file

        save_file(weights, file)

        assert export(str(run), str(tmp_path / "out"), str(base), False) == 2
        assert "is not the one that this run was started from: model.norm.weight is (7,)" in capsys.readouterr().err


class TestNeeds:
    def test_they_are_told_before_the_weights_are_read(self, run, world, tmp_path, capsys):
        assert export(str(run), str(tmp_path / "out"), str(world["policy"]), False) == 0
        first, *_, last = capsys.readouterr().out.splitlines()
        assert first.startswith("sinternal_verl: memory: ") and f"disk at {tmp_path / 'out'}: " in first
        assert last == f"sinternal_verl: wrote {tmp_path / 'out'} (float32)"

    def test_too_little_memory_or_disk_is_refused_and_nothing_is_left(self, run, world, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(needs, "available_memory", lambda: 1000)
        assert export(str(run), str(tmp_path / "out"), str(world["policy"]), False) == 2
        assert "0.0 MB available" in (said := capsys.readouterr().err) and "more memory" in said
        monkeypatch.setattr(needs.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
        assert export(str(run), str(tmp_path / "out"), str(world["policy"]), False) == 2
        assert "give another --out, or make room" in capsys.readouterr().err
        assert not [each for each in tmp_path.iterdir() if "out" in each.name]

    def test_of_a_container_its_limit_counts_less_what_it_holds(self, tmp_path, monkeypatch):
        for name, text in {"max": "1000\n", "current": "700\n", "stat": "anon 5\ninactive_file 200\n"}.items():
            (tmp_path / f"memory.{name}").write_text(text)
        monkeypatch.setattr(needs, "CGROUP", tmp_path)
        assert needs.available_memory() == 500


def test_a_write_that_fails_leaves_nothing(run, world, tmp_path, capsys, monkeypatch):
    def full(*arguments, **settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    (tmp_path / "out").mkdir()
    assert export(str(run), str(tmp_path / "out"), str(world["policy"]), False) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir() if "out" in each.name] == ["out"]
    assert not list((tmp_path / "out").iterdir())
