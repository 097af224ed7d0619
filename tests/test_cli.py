"""The parser: every command says what it does, with an example that works, and starts without the rest of us."""

import argparse
import inspect
import shlex
import subprocess
import sys

import pytest
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, OmegaConf

from sinternal_verl.cli import load, main, make_parser, parse
from sinternal_verl.config import compose_main
from sinternal_verl.runs.record import STACK


def commands_of(parser: argparse.ArgumentParser):
    """All commands below a parser, those of groups too."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield command
                yield from commands_of(command)


COMMANDS = {command.prog: command for command in commands_of(make_parser())}
LEAVES = {name: command for name, command in COMMANDS.items() if command.get_default("run")}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_does(name):
    text = COMMANDS[name].format_help()

    assert COMMANDS[name].description in text and COMMANDS[name].description.endswith(".")
    assert "example" in text


@pytest.mark.parametrize("name", LEAVES)
def test_an_example_is_a_command_that_exists(name):
    words = shlex.split(LEAVES[name].epilog.splitlines()[1])
    assert words[0] == "sinternal-verl"

    arguments = parse(words[1:])

    run, _ = arguments.pop("run"), arguments.pop("composes", None)
    arguments.pop("cfg", None)
    inspect.signature(load(run)).bind(**arguments)


@pytest.mark.parametrize("name", [name for name in LEAVES if " verify " in name])
def test_every_stage_of_a_build_takes_the_same_words(name):
    """A script hands one line of words to all of them."""
    words = [*name.split()[1:], "--yes", "out=o"]

    assert parse(words)["yes"] and parse([*words, "--cfg", "job"])["cfg"] == "job"


def test_versions(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])

    lines = capsys.readouterr().out.splitlines()
    assert end.value.code == 0
    assert [line.split()[0].removesuffix("-cpu") for line in lines] == list(STACK)
    assert all(line.split()[1][0].isdigit() for line in lines)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from sinternal_verl.cli import make_parser; make_parser().format_help();"
        "print([name for name in ('torch', 'verl', 'ray', 'hydra', 'omegaconf', 'numpy') if name in sys.modules])"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["doctor", "data.seed=3"], "data.seed", 3),
        (["doctor", "+recipe=sinternal_sft_cpu"], "sinternal.recipe", "sinternal_sft_cpu"),
        (["guard", "serve"], "sinternal.guard.mode", "decode"),
        (["verify", "select", "seed=5"], "seed", 5),
    ],
)
def test_all_keys_of_a_command_are_shown(words, key, value, capsys):
    assert main([*words, "--cfg", "job"]) == 0

    assert OmegaConf.select(OmegaConf.create(capsys.readouterr().out), key) == value


def test_keys_that_do_not_compose_are_named(capsys):
    assert main(["doctor", "--cfg", "job", "no_such_key=1"]) == 2
    assert "no_such_key" in capsys.readouterr().err


def test_overrides_stand_before_and_after_options(capsys):
    assert main(["doctor", "data.shuffle=false", "--cfg", "job", "data.seed=3"]) == 0
    assert OmegaConf.create(capsys.readouterr().out).data.seed == 3


@pytest.mark.parametrize("words", [["doctor", "--no-such"], ["export", "--checkpoint", "a", "--out", "b", "c=d"]])
def test_what_no_command_takes_is_an_error(words, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2 and words[-1] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["veify", "build"], "verify"),
        (["verify", "biuld"], "build"),
        (["data", "math", "--source", "a", "--out", "b", "--skip-bat"], "--skip-bad"),
    ],
)
def test_a_misspelt_word_is_followed_by_the_nearest(words, meant, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2 and f"; did you mean {meant}?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["--tasks", "xstest", "math500"], "--tasks takes one value, A,B: these tasks instead, with commas"),
        (["--model", "m", "--judge", "a", "b"], "--judge takes one value, NAME[=MODEL]:"),
        (["--max-tokens", "64"], "--max-tokens is no option of this command; a parameter of tasks is given as -T"),
        (["--max-tokens=64"], "a parameter of tasks is given as -T max_tokens=VALUE"),
        (["--limt", "5"], "--limt is no option of this command; did you mean --limit?"),
    ],
)
def test_a_word_where_eval_expects_a_command_is_explained_by_the_option_before_it(words, meant, capsys):
    with pytest.raises(SystemExit) as end:
        main(["eval", *words])
    assert end.value.code == 2 and meant in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["verify", "build", "polcy.modle=a", "expert.max_request=3"], ["policy.model", "expert.max_requests"]),
        (["verify", "build", "max_requests=3"], ["other.max_requests"]),
        (["doctor", "data.trainfiles=a"], ["data.train_files"]),
        (["score", "--in", "a", "--out", "b", "sinternal.guard.engine.modle=a"], ["sinternal.guard.engine.model"]),
        (["guard", "serve", "sinternal.guard.replica=2"], ["sinternal.guard.replicas"]),
    ],
)
def test_every_misspelt_key_is_followed_by_the_nearest(words, meant, capsys):
    assert main(words) == 2

    said = capsys.readouterr().err
    assert said.count("sinternal_verl:") == 1
    assert all(f"; did you mean {key}?" in said for key in meant)


def test_a_value_that_hydra_cannot_read_is_shown_with_quotes(capsys):
    assert main(["verify", "build", "out=/a b#c,d", "seed=1,2", "--cfg", "job"]) == 2

    said = capsys.readouterr().err
    assert """'out="/a b#c,d"'""" in said and "seed=1,2" in said
    assert main(["verify", "build", 'out="/a b#c,d"', "--cfg", "job"]) == 0


@pytest.mark.parametrize("words", [[], ["verify"], ["data"], ["guard"]])
def test_a_group_without_a_command_shows_its_help(words, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)

    said = capsys.readouterr().err
    assert end.value.code == 2 and "usage: sinternal-verl" in said and "give one of these commands" in said


@pytest.mark.parametrize("command", ["build", "show", "evaluate"])
def test_the_help_of_verify_names_every_key_with_its_default_and_comment(command):
    shown = COMMANDS[f"sinternal-verl verify {command}"].format_help()

    with initialize_config_module("sinternal_verl.recipes", version_base=None):
        recipe = compose("verify/build")
    lines = [line.strip() for line in shown.splitlines()]
    for key in leaves_of({name: node for name, node in recipe.items() if name != "sinternal"}):
        assert any(line.startswith(f"{key}=") for line in lines), key
    assert lines[lines.index("samples=8") + 1] == "[paper] number of answers for each prompt."


def leaves_of(node, prefix=""):
    for name in node:
        below = node[name] if isinstance(node, dict) else node._get_node(name)
        if isinstance(below, DictConfig) and below:
            yield from leaves_of(below, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_keys_are_those_that_hydra_shows():
    words = ["+recipe=sinternal_grpo", "hardware=1gpu_7b"]
    command = [sys.executable, "-m", "verl.trainer.main_ppo", *words, "--cfg", "job"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=240)

    assert OmegaConf.create(shown.stdout) == compose_main(words)
