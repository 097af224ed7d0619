"""The command line. Each command lives with its subject and is imported only when called."""

import argparse
import sys


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``sinternal-verl``; returns the exit code."""
    parser = argparse.ArgumentParser(prog="sinternal-verl", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    doctor = commands.add_parser("doctor", help="check a configuration without starting anything")
    doctor.add_argument("overrides", nargs="*", help="what you would give verl's main, e.g. +recipe=sinternal_grpo")
    doctor.set_defaults(run=_doctor)

    data = commands.add_parser("data", help="make and check data files")
    _add_data_commands(data.add_subparsers(dest="subject", required=True))

    demo = commands.add_parser("demo", help="train a small policy on this machine's CPU, from nothing")
    demo.add_argument("--out", default="outputs/demo", help="folder for everything the demo writes")
    demo.add_argument("--seed", type=int, default=1)
    demo.set_defaults(run=_demo)

    arguments = parser.parse_args(argv)
    return arguments.run(arguments)


def _add_data_commands(commands: argparse._SubParsersAction) -> None:
    math = commands.add_parser("math", help="turn a math set into verl's RL parquet")
    math.add_argument("--source", required=True, help="a .jsonl, .json, .csv (also .gz) or .parquet file, or a hub id")
    math.add_argument("--out", required=True, help="the parquet file to write")
    math.add_argument("--data-source", help="the rows' data_source, by which they are scored; default: the set's name")
    math.add_argument("--index", metavar="COLUMN", help="column of extra_info.index; default: unique_id, id or the row")
    math.add_argument("--split", metavar="LABEL", help="the rows' extra_info.split; default: train or test by the set")
    math.add_argument("--skip-bad", action="store_true", help="write the good rows although there are bad ones")
    math.add_argument("--hub-config", metavar="NAME", help="of a hub id that has several")
    math.add_argument("--hub-split", metavar="NAME", help="of a hub id that has several")
    math.add_argument("--revision", help="of a hub id: a commit, so that the same rows are read again")
    math.set_defaults(run=_data_math)

    check = commands.add_parser("check", help="check a parquet file against what a run's scorers need")
    check.add_argument("file", help="any parquet file for verl's RL main")
    check.add_argument("overrides", nargs="*", help="what you would give verl's main; default: the GRPO recipe")
    check.set_defaults(run=_data_check)


def _doctor(arguments: argparse.Namespace) -> int:
    from sinternal_verl.doctor.command import doctor

    return doctor(arguments.overrides)


def _demo(arguments: argparse.Namespace) -> int:
    from sinternal_verl.demo import run_demo

    return run_demo(arguments.out, arguments.seed)


def _data_math(arguments: argparse.Namespace) -> int:
    from sinternal_verl.data.command import convert_math
    from sinternal_verl.data.convert import Labels
    from sinternal_verl.data.readers import Hub

    labels = Labels(data_source=arguments.data_source, split=arguments.split, index=arguments.index)
    hub = Hub(config=arguments.hub_config, split=arguments.hub_split, revision=arguments.revision)
    return convert_math(arguments.source, arguments.out, labels, hub, arguments.skip_bad)


def _data_check(arguments: argparse.Namespace) -> int:
    from sinternal_verl.data.command import check

    return check(arguments.file, arguments.overrides)


if __name__ == "__main__":
    sys.exit(main())
