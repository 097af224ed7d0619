"""The command line. Each command lives with its subject and is imported only when called."""

import argparse
import sys


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``sinternal-verl``; returns the exit code."""
    parser = argparse.ArgumentParser(prog="sinternal-verl", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    doctor = commands.add_parser("doctor", help="check a configuration without starting anything")
    doctor.add_argument("overrides", nargs="*", help="what you would give verl's main, e.g. +recipe=sinternal_grpo")

    demo = commands.add_parser("demo", help="train a small policy on this machine's CPU, from nothing")
    demo.add_argument("--out", default="outputs/demo", help="folder for everything the demo writes")
    demo.add_argument("--seed", type=int, default=1)

    arguments = parser.parse_args(argv)
    if arguments.command == "doctor":
        from sinternal_verl.doctor.command import doctor as run_doctor

        return run_doctor(arguments.overrides)
    from sinternal_verl.demo import run_demo

    return run_demo(arguments.out, arguments.seed)


if __name__ == "__main__":
    sys.exit(main())
