"""A check of the user's own: one file, named on the command line."""

from pathlib import Path

import pytest

from sinternal_verl.doctor.checks import run_checks
from sinternal_verl.doctor.problem import Note, Problem

EXAMPLE = Path(__file__).parents[2] / "examples" / "my_check.py"

FINDS = "from sinternal_verl.doctor.problem import Note, Problem\n"


@pytest.fixture
def found(tmp_path, grpo_config):
    """What the user's checks, given as texts of files, find in a sound configuration."""

    def run(*texts):
        files = [tmp_path / f"check_{number}.py" for number in range(len(texts))]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text)
        return run_checks(grpo_config(f"sinternal.checks=[{','.join(map(str, files))}]"))

    return run


@pytest.mark.parametrize("config", ["grpo_config", "sft_config"])
def test_the_example_finds_a_folder_of_either_main(config, request):
    make = request.getfixturevalue(config)

    (problem,) = run_checks(make(f"sinternal.checks={EXAMPLE}"))
    assert isinstance(problem, Problem) and problem.key == "trainer.default_local_dir"
    assert run_checks(make(f"sinternal.checks=[{EXAMPLE}]", "trainer.default_local_dir=/scratch/a")) == []


def test_a_note_and_a_problem_are_shown_as_they_are(found):
    text = "def check(config):\n    return [{}('a.b', config.data.seed, 'why', 'what to do')]\n"

    assert found(*(FINDS + text.format(kind) for kind in ("Note", "Problem"))) == [
        Note("a.b", 1, "why", "what to do"),
        Problem("a.b", 1, "why", "what to do"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nothing_of_this_name", "cannot be imported: ModuleNotFoundError"),
        ("import sys; sys.exit(0)", "cannot be imported: SystemExit: 0"),
        ("def check(config): raise SystemExit(0)", "stopped with SystemExit: 0"),
        ("def check(config): config.data.seed = 3", "stopped with ReadonlyConfigError"),
        ("checks = 1", "no function check"),
        ("def check(config): raise ValueError('dusk')", "stopped with ValueError: dusk"),
        ("def check(config): pass", "stopped with TypeError"),
        ("def check(config): return ['is wrong']", "'is wrong', which is no Problem or Note"),
    ],
)
def test_a_file_that_is_no_check_is_a_problem_and_hides_no_other(found, text, words):
    other = FINDS + "def check(config):\n    yield Note('a', None, 'is seen', 'look')\n"

    problem, note = found(text, other)
    assert isinstance(problem, Problem) and problem.key == "sinternal.checks"
    assert words in problem.reason
    assert note.reason == "is seen"


@pytest.mark.parametrize("value", ["[/no/such.py]", "/no/such.py", "5", "[5]"])
def test_a_file_that_is_not_there_is_a_problem(grpo_config, value):
    (problem,) = run_checks(grpo_config(f"sinternal.checks={value}"))

    assert str(problem.value) == value.strip("[]") and "FileNotFoundError" in problem.reason
