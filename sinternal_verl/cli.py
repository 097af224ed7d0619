"""The command line. Each command lives with its subject and is imported only when called."""

import argparse
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sinternal_verl.data.adapter import Labels
    from sinternal_verl.data.readers import Hub


FILES = "a .jsonl, .json, .csv, .tsv (each also .gz) or .parquet file, or a hub id"


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``sinternal-verl``; returns the exit code."""
    parser = argparse.ArgumentParser(prog="sinternal-verl", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    doctor = commands.add_parser("doctor", help="check a configuration without starting anything")
    doctor.add_argument("overrides", nargs="*", help="what you would give verl's main, e.g. +recipe=sinternal_grpo")
    doctor.set_defaults(run=_doctor)

    data = commands.add_parser("data", help="make and check data files")
    _add_data_commands(data.add_subparsers(dest="subject", required=True))

    guard = commands.add_parser("guard", help="the guard outside of training")
    _add_guard_commands(guard.add_subparsers(dest="subject", required=True))

    score = commands.add_parser("score", help="score the responses in a file as a run would")
    score.add_argument(
        "--in", dest="source", required=True, metavar="ROWS.jsonl", help="prompt, response, data_source, ground_truth"
    )
    score.add_argument(
        "--out", required=True, metavar="SCORED.jsonl", help="one result a row; an unfinished file is continued"
    )
    score.add_argument("--data-source", metavar="NAME", help="of rows that name none")
    score.add_argument("--ground-truth", metavar="TEXT", help="of rows that have none, e.g. harmful")
    score.add_argument("--concurrency", type=int, default=256, metavar="ROWS", help="rows in flight")
    score.add_argument("overrides", nargs="*", help="what you would give verl's main, e.g. guard=ray_actor")
    score.set_defaults(run=_score)

    verify = commands.add_parser("verify", help="data from which a model learns to verify its own answers")
    _add_verify_commands(verify.add_subparsers(dest="subject", required=True))

    export = commands.add_parser("export", help="a checkpoint of verl as a Hugging Face folder")
    export.add_argument("--checkpoint", required=True, help="folder of a run (its last), or of a step (global_step_N)")
    export.add_argument("--out", required=True, help="the folder to write")
    export.add_argument("--base", help="what the run was started from; default: what its record says")
    export.add_argument("--adapter", action="store_true", help="the LoRA adapter alone, not fused")
    export.set_defaults(run=_export)

    cluster = commands.add_parser("cluster", help="a Ray cluster on several nodes")
    _add_cluster_commands(cluster.add_subparsers(dest="subject", required=True))

    demo = commands.add_parser("demo", help="train a small policy on this machine's CPU, from nothing")
    demo.add_argument("--out", default="outputs/demo", help="folder for everything the demo writes")
    demo.add_argument("--seed", type=int, default=1)
    demo.set_defaults(run=_demo)

    arguments = parser.parse_args(argv)
    if argv is None:
        # A terminated command ends what it started, as an interrupted one does.
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    return arguments.run(arguments)


def _add_guard_commands(commands: argparse._SubParsersAction) -> None:
    serve = commands.add_parser("serve", help="serve the guard to other programs, OpenAI-compatible")
    serve.add_argument("--host", default="127.0.0.1", help="0.0.0.0 for other machines")
    serve.add_argument("--port", type=int, default=8000)
    serve.add_argument("overrides", nargs="*", help="what you would give verl's main, e.g. sinternal.guard.replicas=2")
    serve.set_defaults(run=_guard_serve)


def _add_cluster_commands(commands: argparse._SubParsersAction) -> None:
    wait = commands.add_parser("wait", help="wait until every node has joined, and name those that have not")
    wait.add_argument("address", help="host:port of the head")
    wait.add_argument("nodes", nargs="+", metavar="NODE", help="started by ray start --labels=sinternal/node=NODE")
    wait.add_argument("--timeout", type=float, default=300, metavar="SECONDS", help="for all nodes together")
    wait.set_defaults(run=_cluster_wait)


def _add_verify_commands(commands: argparse._SubParsersAction) -> None:
    helps = {
        "build": "sample, critique and select, going on where an earlier call stopped",
        "sample": "the policy's answers to every prompt",
        "critique": "the expert's critique and verdict of every answer",
        "select": "the parquet file for verl's SFT, of what is there",
        "show": "print what the store holds, a line of JSON for every answer",
        "evaluate": "hold a model's verdicts on its own answers against the expert's",
    }
    for name, text in helps.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("overrides", nargs="*", help="keys of recipes/verify/build.yaml, e.g. expert.model=NAME")
        command.set_defaults(run=_verify)


def _add_data_commands(commands: argparse._SubParsersAction) -> None:
    math = commands.add_parser("math", help="turn a math set into verl's RL parquet")
    math.add_argument("--data-source", dest="name", help="the rows' data_source; default: the set's name")
    _add_conversion(math)
    math.set_defaults(run=_data_math)

    safety = commands.add_parser("safety", help="turn a set of harmful and benign prompts into verl's RL parquet")
    safety.add_argument("--name", help="the rows' data_source is safety/harmful/NAME or safety/benign/NAME")
    safety.add_argument("--label", choices=("harmful", "benign"), help="what all rows are, of a file without labels")
    _add_conversion(safety)
    safety.set_defaults(run=_data_safety)

    sft = commands.add_parser("sft", help="turn a set of whole answers into data for verl's SFT: the baselines")
    sft.add_argument("--source", required=True, help=f"{FILES}, with question and response, e.g. of STAR-1")
    sft.add_argument("--out", required=True, help="the parquet file to write")
    sft.add_argument(
        "--thought", choices=("required", "none"), default="required", help="none: the model does not think"
    )
    sft.add_argument("--fraction", type=float, default=1.0, help="share of the rows to keep")
    sft.add_argument("--seed", type=int, default=1, help="of the choice of that share")
    _add_against(sft)
    _add_hub(sft)
    sft.set_defaults(run=_data_sft)

    mix = commands.add_parser("mix", help="mix files of math and safety, seeded and decontaminated")
    mix.add_argument(
        "--part",
        required=True,
        nargs="+",
        action="extend",
        metavar="FILE[:PATTERN]=COUNT",
        help="rows to take of a file of ours: a number or all; PATTERN chooses data sources, e.g. 'safety/benign/*'",
    )
    mix.add_argument("--out", required=True, help="the parquet file to write")
    mix.add_argument("--seed", type=int, default=1)
    _add_against(mix)
    mix.add_argument("--ngram", type=int, default=13, metavar="WORDS", help="a run that long in common is a match")
    mix.set_defaults(run=_data_mix)

    check = commands.add_parser("check", help="check a parquet file against what a run's scorers need")
    check.add_argument("file", help="any parquet file for verl's RL main")
    check.add_argument("overrides", nargs="*", help="what you would give verl's main; default: the GRPO recipe")
    check.set_defaults(run=_data_check)


def _add_conversion(command: argparse.ArgumentParser) -> None:
    command.add_argument("--source", required=True, help=FILES)
    command.add_argument("--out", required=True, help="the parquet file to write")
    command.add_argument("--index", metavar="COLUMN", help="column of extra_info.index; default: unique_id, id or row")
    command.add_argument(
        "--split", metavar="LABEL", help="the rows' extra_info.split; default: train or test by the set"
    )
    command.add_argument("--skip-bad", action="store_true", help="write the good rows although there are bad ones")
    _add_hub(command)


def _add_against(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--against",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE[#COLUMN]",
        help="evaluation files (or hub ids) whose prompts must not be in the result",
    )


def _add_hub(command: argparse.ArgumentParser) -> None:
    command.add_argument("--hub-config", metavar="NAME", help="of a hub id that has several")
    command.add_argument("--hub-split", metavar="NAME", help="of a hub id that has several")
    command.add_argument("--revision", help="of a hub id: a commit, so that the same rows are read again")


def _doctor(arguments: argparse.Namespace) -> int:
    from sinternal_verl.commands.doctor import doctor

    return doctor(arguments.overrides)


def _guard_serve(arguments: argparse.Namespace) -> int:
    from sinternal_verl.commands.guard import serve

    return serve(arguments.overrides, arguments.host, arguments.port)


def _cluster_wait(arguments: argparse.Namespace) -> int:
    from sinternal_verl.commands.cluster import wait

    return wait(arguments.address, arguments.nodes, arguments.timeout)


def _score(arguments: argparse.Namespace) -> int:
    from sinternal_verl.commands.score import score

    defaults = {"data_source": arguments.data_source, "ground_truth": arguments.ground_truth}
    return score(arguments.source, arguments.out, arguments.overrides, defaults, arguments.concurrency)


def _verify(arguments: argparse.Namespace) -> int:
    from sinternal_verl.commands.verify import verify
    from sinternal_verl.verify.settings import BUILD, EVALUATE

    stages = {"build": BUILD, "evaluate": EVALUATE}
    return verify(arguments.overrides, stages.get(arguments.subject, (arguments.subject,)))


def _export(arguments: argparse.Namespace) -> int:
    from sinternal_verl.commands.export import export

    return export(arguments.checkpoint, arguments.out, arguments.base, arguments.adapter)


def _demo(arguments: argparse.Namespace) -> int:
    from sinternal_verl.demo.run import run_demo

    return run_demo(arguments.out, arguments.seed)


def _data_math(arguments: argparse.Namespace) -> int:
    from sinternal_verl.commands.data import convert_math

    return convert_math(arguments.source, arguments.out, *_labels_and_hub(arguments), arguments.skip_bad)


def _data_safety(arguments: argparse.Namespace) -> int:
    from sinternal_verl.commands.data import convert_safety

    labels, hub = _labels_and_hub(arguments)
    return convert_safety(arguments.source, arguments.out, labels, arguments.label, hub, arguments.skip_bad)


def _labels_and_hub(arguments: argparse.Namespace) -> tuple["Labels", "Hub"]:
    from sinternal_verl.data.adapter import Labels

    return Labels(name=arguments.name, split=arguments.split, index=arguments.index), _hub(arguments)


def _hub(arguments: argparse.Namespace) -> "Hub":
    from sinternal_verl.data.readers import Hub

    return Hub(config=arguments.hub_config, split=arguments.hub_split, revision=arguments.revision)


def _data_sft(arguments: argparse.Namespace) -> int:
    from sinternal_verl.commands.data import write_answers

    thinks, against = arguments.thought == "required", arguments.against
    return write_answers(
        arguments.source, arguments.out, thinks, arguments.fraction, arguments.seed, against, _hub(arguments)
    )


def _data_mix(arguments: argparse.Namespace) -> int:
    from sinternal_verl.commands.data import mix_files

    return mix_files(arguments.part, arguments.out, arguments.against, arguments.seed, arguments.ngram)


def _data_check(arguments: argparse.Namespace) -> int:
    from sinternal_verl.commands.data import check

    return check(arguments.file, arguments.overrides)


if __name__ == "__main__":
    sys.exit(main())
