"""What all commands have in common on the command line: help with an example, overrides, and errors that name what was
meant."""

import argparse
import re
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

COMMAND = "COMMAND"
RUN = "what you would give verl's main"


class Parser(argparse.ArgumentParser):
    """A parser whose help may show the keys of a recipe, and whose errors name what was meant.

    Attributes:
        recipe: the file below ``recipes`` whose keys the command takes; None shows none.
        elsewhere: what to do with an option that the command does not have, such as ``give it by -T``.
    """

    recipe: str | None = None
    elsewhere: str = ""
    _words: Sequence[str] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in (None, "store"):
            self.register("action", name, StoreOnce)

    def format_help(self) -> str:
        text = super().format_help()
        if self.recipe is None:
            return text
        from sinternal_verl.parsers.keys import keys_of

        return f"{text}\nkeys and their defaults:\n{textwrap.indent(keys_of(self.recipe), '  ')}\n"

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        self._words = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        if message.endswith(f"required: {COMMAND}"):
            self.print_help(sys.stderr)
            self.exit(2, f"\n{self.prog}: give one of these commands\n")
        super().error(f"{message}{self._meant(message)}")

    def _meant(self, message: str) -> str:
        from sinternal_verl.did_you_mean import did_you_mean

        if choice := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message):
            return did_you_mean(choice[1], re.findall(r"[\w-]+", choice[2])) or self._of_option(choice[1])
        if unknown := re.search(r"unrecognized arguments: (--[\w-]+)", message):
            return self._not_here(unknown[1])
        return ""

    def _of_option(self, word: str) -> str:
        """Why a word stands where a command was expected: it is a second value, or an unknown option's."""
        before = self._words[: self._words.index(word)] if word in self._words else []
        option = next((each for each in reversed(before) if each.startswith("-")), "").partition("=")[0]
        action = self._option_string_actions.get(option)
        if action is not None:
            return f"; {option} takes one value, {action.metavar or action.dest}: {action.help}"
        return f"; {option} is no option of this command{self._not_here(option)}" if option else ""

    def _not_here(self, option: str) -> str:
        """What to do about an option that the command does not have."""
        from sinternal_verl.did_you_mean import did_you_mean

        name = option.lstrip("-").replace("-", "_")
        elsewhere = f"; {self.elsewhere.format(name)}" if self.elsewhere else ""
        return did_you_mean(option, self._option_string_actions) + elsewhere


class StoreOnce(argparse._StoreAction):
    """Takes an option's value, and refuses a second one, where argparse keeps the last without a word."""

    given = False

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: str | None = None) -> None:
        if option and self.given:
            raise argparse.ArgumentError(self, f"given twice, at last as {values}; give one")
        self.given = True
        super().__call__(parser, namespace, values, option)


class Versions(argparse.Action):
    """Prints the versions of the packages that a run stands on."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from sinternal_verl.runs.record import STACK, version_of

        for name in STACK:
            # vLLM for a CPU is a package of another name.
            found = next((each for each in (name, f"{name}-cpu") if version_of(each)), None)
            print(f"{found} {version_of(found)}" if found else f"{name} is not installed")
        parser.exit()


def add_group(commands: Any, name: str, text: str) -> Any:
    """Commands of one first word, such as ``data math`` and ``data check``."""
    group = commands.add_parser(name, help=text, description=_sentence(text))
    group.epilog = f"`{group.prog} COMMAND --help` has an example of each command."
    return group.add_subparsers(required=True, metavar=COMMAND)


def add_command(commands: Any, name: str, run: str, text: str, example: str) -> argparse.ArgumentParser:
    """A command with a description and an example.

    Args:
        run: name of the function that gets the arguments, see `sinternal_verl.cli.load`.
        text: what the command does, as a phrase.
        example: arguments that show its use.
    """
    command = commands.add_parser(
        name, help=text, description=_sentence(text), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.epilog = f"example:\n  {command.prog} {example}"
    command.set_defaults(run=run)
    return command


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def add_overrides(command: argparse.ArgumentParser, text: str, composes: str | None = None) -> None:
    """Add Hydra's overrides to a command, and its ``--cfg`` where the command can be called without other arguments.

    Args:
        text: help for the overrides.
        composes: name of the function that makes the command's configuration of them; None adds no ``--cfg``.
    """
    command.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=text)
    if composes is None:
        command.epilog += "\n\n`sinternal-verl doctor --cfg job` shows all keys."
        return
    command.add_argument("--cfg", choices=("job",), help="print all keys and their values, as Hydra does, and end")
    command.set_defaults(composes=composes)
