"""``sinternal-verl eval``: the paper's evaluation suite on a model, two runs side by side, and a log judged again."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sinternal_verl.commands.messages import PREFIX, fail
from sinternal_verl.evaluation.running.requirement import require_inspect
from sinternal_verl.evaluation.running.vllm_command import CONNECTIONS

if TYPE_CHECKING:
    from sinternal_verl.evaluation.running.asked import Asked

FAILED = 1
NOTE = "HOLDS_MODEL_OUTPUT.txt"
HOLDS_OUTPUT = """logs/*.eval hold attacks, and what a model answered to them. `inspect view --log-dir logs` shows both.
table.*, rows.jsonl and configuration.json hold neither.
"""


def evaluate(out: str | None = None, connections: int = CONNECTIONS, **words: Any) -> int:
    """Run the suite on a model and print its table.

    Args:
        out: the folder; by default ``outputs/eval/`` and the model's name.
        connections: requests to a model at a time.
        words: see `sinternal_verl.evaluation.running.asked.Words`.
    """
    try:
        require_inspect()
    except ImportError as error:
        return fail(str(error))
    from sinternal_verl.evaluation.running.asked import BadWords, Words, read_words
    from sinternal_verl.evaluation.running.configuration import FolderError, OtherConfiguration, alone_in, claim
    from sinternal_verl.evaluation.running.progress import quiet_inspect
    from sinternal_verl.evaluation.running.serving import ServerFailed
    from sinternal_verl.evaluation.running.suite import SuiteFailed

    try:
        with quiet_inspect():
            asked = read_words(Words(connections=connections, **words))
        folder = Path(out or f"outputs/eval/{asked.called.replace('/', '--')}")
        goes_on = claim(folder, asked.configuration())
        if not goes_on:
            (folder / NOTE).write_text(HOLDS_OUTPUT)
    except BadWords as error:
        lines = str(error).splitlines()
        return fail("\n  ".join(["nothing was started:", *lines]) if len(lines) > 1 else lines[0])
    except OtherConfiguration as error:
        return fail(str(error))
    except OSError as error:
        return fail(f"--out {folder}: {error.strerror or error}")
    try:
        with alone_in(folder), quiet_inspect():
            _announce(asked, folder, goes_on)
            return _run(asked, folder, connections)
    except FolderError as error:
        return fail(str(error))
    except (ServerFailed, SuiteFailed, ValueError, OSError) as error:
        print(f"{PREFIX}{error}\nThe answers so far are kept, and the same command goes on.", file=sys.stderr)
        return FAILED


def _announce(asked: "Asked", folder: Path, goes_on: bool) -> None:
    for each in asked.plan:
        who = ", ".join(filter(None, [each.arguments.get("judge"), each.arguments.get("rater")]))
        by = f", judged by {who}" if who else ""
        print(f"{each.name}: {each.items(asked.limit):,} answers{by}")
    print(f"{'goes on in' if goes_on else 'logs and table:'} {folder}", flush=True)


def _run(asked: "Asked", folder: Path, connections: int) -> int:
    from sinternal_verl.evaluation.results.table import write_tables
    from sinternal_verl.evaluation.running.suite import LOGS, run_suite

    with asked.cast.opened(folder / "servers", connections) as (models, servers):
        ran = run_suite(asked.plan, models, folder, asked.limit, asked.seed, connections, servers)
    print()
    for task, why in ran.broken.items():
        print(f"{PREFIX}{task} has ended early ({why}); the same command goes on with it", file=sys.stderr)
    print(write_tables(folder / LOGS, folder))
    print(f"\nthe table as text, Markdown, CSV, HTML and PNG, and a row for each item: {folder}")
    told = ran.progress
    if told.unjudged:
        why = "have no verdict, because their judge was not reached"
        step = f"`sinternal-verl eval rejudge {folder} --judge ...` judges the answers again"
        print(f"{PREFIX}{told.unjudged} answers {why}; {step}", file=sys.stderr)
    if told.failed:
        kinds = ", ".join(f"{name} {count}x" for name, count in told.errors.most_common())
        tasks = ", ".join(task for task in ran.unfinished if task not in ran.broken)
        what = f"{told.failed} items failed ({kinds}){f', in {tasks}' if tasks else ''}"
        step = f"`inspect view --log-dir {folder / LOGS}` shows why, and the same command asks them again"
        print(f"{PREFIX}{what}; {step}", file=sys.stderr)
    if ran.without_value:
        step = (
            f"the table counts the reasons, and `sinternal-verl eval rejudge {folder} --judge ...` asks another judge"
        )
        print(f"{PREFIX}no answer is scored of {', '.join(ran.without_value)}; {step}", file=sys.stderr)
    return FAILED if told.unjudged or ran.unfinished or ran.without_value else 0


def compare_runs(runs: Sequence[str], out: str = "outputs/eval_compare", **others: Any) -> int:
    """Print runs side by side.

    Args:
        runs: folders of `eval`, or logs of any run of Inspect.
        out: folder for the tables.
    """

    def compare() -> int:
        from sinternal_verl.evaluation.results.compare import compare

        print(compare([Path(run) for run in runs], Path(out)))
        return 0

    return _guarded(compare, others)


def rejudge_logs(
    logs: Sequence[str],
    judges: Sequence[str],
    out: str = "outputs/eval_rejudge",
    api_key_env: Sequence[str] = (),
    judge_settings: Sequence[str] = (),
    connections: int = CONNECTIONS,
    **others: Any,
) -> int:
    """Judge the answers of logs again, by one judge or several, and print how far they agree.

    Args:
        logs: folders of `eval`, or logs of any run of Inspect.
        judges: each ``name=model``, or ``name`` where it needs no model.
        out: folder for the tables and the new logs.
        api_key_env, judge_settings, connections: see `sinternal_verl.evaluation.running.asked.Words`.
    """

    def judge() -> int:
        from sinternal_verl.evaluation.results.logs import LogError, open_logs
        from sinternal_verl.evaluation.results.rejudge import Choice, rejudge
        from sinternal_verl.evaluation.running.asked import read_values
        from sinternal_verl.evaluation.running.cast import Cast, read_judges, read_keys
        from sinternal_verl.evaluation.running.probe import server_problems

        cast, wrong = Cast(), []
        settings = read_values(judge_settings, "-J", wrong)
        wrong += cast.add_judges(read_judges(judges), read_keys(api_key_env))
        wrong += cast.add_settings(settings)
        wrong += cast.setting_problems()
        if connections < 1:
            wrong.append(f"--connections {connections}: give a number of 1 or more")
        for log in logs:
            try:
                open_logs(Path(log))
            except LogError as error:
                wrong.append(str(error))
        if not wrong:
            wrong += server_problems(cast.choices, cast.settings)
        if wrong:
            raise ValueError("\n".join(wrong))
        with cast.opened(Path(out) / "servers", connections) as (models, _):
            choices = [Choice(name, models.get(name), settings) for name, settings in cast.settings.items()]
            found = rejudge([Path(log) for log in logs], choices, Path(out))
        print(found.text)
        for name, what in found.without_value:
            step = "the table counts the reasons; mend the judge, or ask another one"
            print(f"{PREFIX}judge {name} has no verdict on any answer of {what}; {step}", file=sys.stderr)
        return FAILED if found.without_value else 0

    return _guarded(judge, others)


def _guarded(run: Callable[[], int], others: dict[str, Any]) -> int:
    """The exit code of ``run``, with its errors told.

    Args:
        others: options that are none of the command's.
    """
    try:
        require_inspect()
    except ImportError as error:
        return fail(str(error))
    if others:
        options = ", ".join(f"--{each.replace('_', '-')}" for each in others)
        return fail(f"{options}: of the suite, and not of this command")
    from sinternal_verl.evaluation.running.progress import quiet_inspect
    from sinternal_verl.evaluation.running.serving import ServerFailed

    try:
        with quiet_inspect():
            return run()
    except OSError as error:
        return fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except ValueError as error:
        return fail(str(error))
    except ServerFailed as error:
        print(f"{PREFIX}{error}", file=sys.stderr)
        return FAILED
