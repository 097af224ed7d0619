"""SInternal for veRL: data, checks, rewards and models around verl's own training commands."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any

from sinternal_verl.parsers.common import COMMAND, Parser, Versions, add_group
from sinternal_verl.parsers.data import add_data
from sinternal_verl.parsers.evaluation import add_eval
from sinternal_verl.parsers.plan import add_plan
from sinternal_verl.parsers.runs import (
    add_cluster,
    add_demo,
    add_doctor,
    add_export,
    add_guard,
    add_report,
    add_score,
    add_verify,
)

AFTER_INTERRUPT = {
    "data:convert_math": "nothing was written",
    "data:convert_safety": "nothing was written",
    "data:convert_answers": "nothing was written",
    "data:mix_files": "nothing was written",
    "sets:validation": "nothing was written",
    "sets:trotter": "nothing was written",
    "report:report": "a page that was made is whole",
    "score:score": "the results so far are kept, and the same command goes on",
    "eval:evaluate": "the answers so far are kept, and the same command goes on",
    "verify:verify": "the replies so far are stored, and the same command goes on",
    "export:export": "give the same command again, with another --out or after removing this one",
    **dict.fromkeys(
        (f"sinternal_verl.demo.{module}:run_demo" for module in ("run", "verification")), "the same command begins anew"
    ),
}
"""What a user may do after Ctrl-C, by the name of the command's function."""

EXIT_CODES = """exit codes:
  0    done
  1    something failed or is missing; the same command goes on from there
  2    the words, the input or the configuration give no result
  130  Ctrl-C; a line says how to go on (143: SIGTERM)
  141  the reader of the output has closed it, as `head` does"""


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``sinternal-verl``; returns the exit code. A command is imported only when it is called."""
    if argv is not None:
        return _run(**parse(argv))
    from sinternal_verl.commands.process import run_as_process

    arguments: dict[str, Any] = {}

    def command() -> int:
        arguments.update(parse(None))
        return _run(**arguments)

    return run_as_process(command, lambda: AFTER_INTERRUPT.get(arguments.get("run"), ""))


def _run(run: str, composes: str | None = None, **values: Any) -> int:
    if values.pop("cfg", None):
        return load("configuration:show_configuration")(load(composes), values["overrides"])
    return load(run)(**values)


def parse(argv: Sequence[str] | None) -> dict[str, Any]:
    """The command's arguments by name. Besides, ``run`` names the command's function, and ``composes`` the function
    that makes a configuration of its overrides.

    Raises:
        SystemExit: there is no such command or option.
    """
    parser = make_parser()
    arguments, rest = parser.parse_known_args(argv)
    values = vars(arguments)
    if rest and ("overrides" not in values or any(word.startswith("-") for word in rest)):
        _leaf(parser, sys.argv[1:] if argv is None else argv).error(f"unrecognized arguments: {' '.join(rest)}")
    if "overrides" in values:
        # argparse leaves words in ``rest`` that come after an option between the overrides.
        values["overrides"] += rest
    return values


def _leaf(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the command that the first words name."""
    for word in words:
        groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if not groups or word not in groups[0].choices:
            break
        parser = groups[0].choices[word]
    return parser


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; tools can make shell completions from it, too."""
    parser = Parser(
        prog="sinternal-verl",
        description=__doc__,
        epilog="example:\n  sinternal-verl doctor +recipe=sinternal_grpo actor_rollout_ref.model.path=/abs/model\n\n"
        f"`sinternal-verl COMMAND --help` has an example of each command.\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    versions = "print the versions of this package, verl, Ray, vLLM, torch and transformers"
    parser.add_argument("--version", action=Versions, nargs=0, default=argparse.SUPPRESS, help=versions)
    commands = parser.add_subparsers(required=True, metavar=COMMAND)
    add_doctor(commands)
    add_plan(commands)
    add_report(commands)
    add_data(add_group(commands, "data", "make and check data files"))
    add_score(commands)
    add_guard(add_group(commands, "guard", "serve the guard to other programs"))
    add_verify(add_group(commands, "verify", "make verification data, and measure how well a model verifies"))
    add_eval(commands)
    add_export(commands)
    add_cluster(add_group(commands, "cluster", "wait for a Ray cluster on several nodes"))
    add_demo(commands)
    return parser


def load(name: str) -> Any:
    """The function that ``module:function`` names. A module without a dot belongs to ``sinternal_verl.commands``."""
    module, _, function = name.partition(":")
    module = module if "." in module else f"sinternal_verl.commands.{module}"
    return getattr(importlib.import_module(module), function)


if __name__ == "__main__":
    sys.exit(main())
