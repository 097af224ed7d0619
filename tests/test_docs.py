"""What the pages say exists: links, files, make's targets, and commands with their options and keys."""

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from hydra.errors import HydraException
from test_order import LINES

from sinternal_verl.cli import load, parse
from sinternal_verl.config import compose_config, with_defaults
from sinternal_verl.verify.settings import compose_build

ROOT = Path(__file__).parents[1]
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in ROOT.glob("docs/*.md")}
PAGES |= {name: (ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md")}

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^ *```bash\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
FOLDERS = "benchmarks|docs|examples|recipes|reward_fns|sinternal_verl|tests"
FILE = re.compile(rf"(?<![\w/.-])(?:{FOLDERS})/[\w/.-]*\w")
TASK = re.compile(r"(?:\binspect eval|--scorer) sinternal_verl/\w+")
"""A task of Inspect, which is named like a file."""

ELLIPSIS = "..."
"""Stands for words that the page leaves out."""

MAINS = ("verl.trainer.main_ppo", "verl.trainer.sft_trainer")


def commands_of(page: str) -> list[str]:
    """Each command of the page's bash blocks, on one line.

    >>> commands_of("```bash\\nmake a   # b\\ncd c && \\\\\\n  make d\\n```")
    ['make a', 'cd c && make d']
    """
    commands, begun = [], ""
    for line in "\n".join(FENCE.findall(page)).replace("\\\n", " ").splitlines():
        begun += line
        try:
            words = shlex.split(begun, comments=True)
        except ValueError:  # a quotation that goes on in the next line
            continue
        commands.append(shlex.join(words).replace("'&&'", "&&"))
        begun = ""
    assert not begun, begun
    return [command for command in commands if command]


COMMANDS = sorted({(page, command) for page, text in PAGES.items() for command in commands_of(text)})


@cache
def compose(*overrides: str) -> None:
    compose_config(with_defaults(list(overrides)))


def check(command: str) -> None:
    """
    Raises:
        SystemExit: no such command or option of `sinternal-verl`.
        HydraException: no such recipe, group or key.
    """
    words = [re.sub(r"\$\w+", "/abs", word) for word in shlex.split(command) if word != ELLIPSIS]
    if words[0] == "sinternal-verl":
        found = parse(words[1:])
        if found.get("overrides"):
            load(found.get("composes", "sinternal_verl.config:compose_main"))(found["overrides"])
    elif command.startswith(ELLIPSIS) or set(words) & {*MAINS, "sbatch", "examples/slurm/verify_build.sh"}:
        settings = [word for word in words if re.match(r"\+?[a-z][\w./]*=", word)]
        if any(word.startswith("prompts=") for word in settings):
            compose_build(settings)
        else:
            compose(*settings)


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_a_command_has_the_options_and_the_keys_it_is_shown_with(page, command):
    check(command)


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("sinternal-verl doktor", SystemExit),
        ("sinternal-verl data math --source a --out b --no-such-option", SystemExit),
        ("sinternal-verl verify build expert.modell=a", HydraException),
        ("sinternal-verl doctor +recipe=sinternal_grop", HydraException),
        ("python -m verl.trainer.main_ppo +recipe=sinternal_grpo data.trainfiles=a", HydraException),
        ("torchrun -m verl.trainer.sft_trainer +recipe=sinternal_sft hardware=cpu", HydraException),
        ("... guard=no_such", HydraException),
    ],
)
def test_a_wrong_word_is_found(command, error):
    with pytest.raises(error):
        check(command)


@pytest.mark.parametrize("page", PAGES)
def test_no_figure_is_left_out(page):
    assert "@@" not in PAGES[page]


@pytest.mark.parametrize("page", PAGES)
def test_a_link_points_to_a_file_and_a_heading(page):
    for link in LINK.findall(PAGES[page]):
        if re.match(r"\w+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), f"{page} links to {link}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}, f"{page}: {link}"


@pytest.mark.parametrize("page", PAGES)
def test_a_file_that_is_named_exists(page):
    text = TASK.sub("", LINK.sub("]()", PAGES[page]))
    for name in FILE.findall(text):
        assert (ROOT / name).exists(), f"{page} names {name}"


@pytest.mark.parametrize("page", PAGES)
def test_a_target_of_make_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"`make ([a-z-]+)", PAGES[page])
    named += [word for command in commands_of(PAGES[page]) for word in re.findall(r"^make ([a-z-]+)", command)]

    assert set(named) <= targets


def test_the_index_has_every_page():
    linked = set(LINK.findall(PAGES["docs/README.md"]))

    assert {path.name for path in ROOT.glob("docs/*.md")} - {"README.md"} <= linked


def test_contributing_has_every_target_of_make():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"^\| `make ([a-z-]+)` \|", PAGES["CONTRIBUTING.md"], re.MULTILINE)) == targets


def test_contributing_has_the_order_of_the_packages():
    lines = re.findall(r"^\| (\d+) \| (.*?) \|", PAGES["CONTRIBUTING.md"], re.MULTILINE)

    assert [tuple(re.findall(r"`(\w+)`", packages)) for _, packages in lines] == list(LINES)
    assert [int(number) for number, _ in lines] == list(range(1, len(LINES) + 1))
