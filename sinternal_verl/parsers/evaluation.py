"""The words of `eval`: the evaluation suite, and what is done with its logs."""

import argparse
from typing import Any

from sinternal_verl.evaluation.running.vllm_command import CONNECTIONS
from sinternal_verl.parsers.common import add_command


def add_eval(commands: Any) -> None:
    suite = add_command(
        commands,
        "eval",
        "eval:evaluate",
        "run the paper's evaluation suite on a model, print its table, and go on where an earlier call stopped",
        "--suite paper --model outputs/verifier --judge llama_guard=meta-llama/Llama-Guard-3-8B "
        "--judge xstest=openai/gpt-4o --judge expert=openai/gpt-4o --rater openai/gpt-4o --source data/eval --limit 20",
    )
    # What is absent is left to the function's defaults: the commands below take none of these.
    suite.argument_default = argparse.SUPPRESS
    suite.elsewhere = "a parameter of tasks is given as -T {}=VALUE"
    model = "a folder (from export), a hub id (owner/name@revision), https://host/v1#name, or a name of Inspect"
    suite.add_argument("--model", metavar="MODEL", help=model)
    suite.add_argument("--suite", metavar="NAME", help="the tasks to run; default: paper")
    suite.add_argument("--tasks", metavar="A,B", help="these tasks instead, with commas between them")
    suite.add_argument(
        "--judge",
        dest="judges",
        action="append",
        metavar="NAME[=MODEL]",
        help="who judges answers, and the model that does; once for each judge",
    )
    suite.add_argument("--rater", metavar="MODEL", help="who rates thoughts, for proactive_verification")
    suite.add_argument(
        "--source",
        dest="sources",
        action="append",
        metavar="[SET=]FILE",
        help="file of a set, or a folder with files of several; default: the hub at a pinned revision",
    )
    suite.add_argument("--limit", type=int, metavar="N", help="the first N items of each set")
    suite.add_argument("--seed", type=int, help="of the sampling where the temperature is above 0")
    suite.add_argument("--out", metavar="FOLDER", help="logs and table; default: outputs/eval/MODEL")
    suite.add_argument(
        "-T",
        dest="parameters",
        action="append",
        metavar="[TASK.]NAME=VALUE",
        help="parameter of tasks, such as max_tokens=4000, aime2024.epochs=4 or xstest.judge=refusal_strings",
    )
    suite.add_argument(
        "--serve",
        action="append",
        metavar="OPTION=VALUE",
        help="option of vllm serve for a folder or hub id, such as tensor-parallel-size=2",
    )
    _add_asking(suite)
    below = suite.add_subparsers(metavar="compare|rejudge", title="on logs that are there")
    compare = add_command(
        below,
        "compare",
        "eval:compare_runs",
        "show runs side by side, paired by item: differences with intervals, and which items changed",
        "outputs/eval/before outputs/eval/after",
    )
    compare.add_argument("runs", nargs="+", metavar="RUN", help="a folder of eval, or any log of Inspect")
    compare.add_argument("--out", default=argparse.SUPPRESS, help="folder for tables; default: outputs/eval_compare")
    rejudge = add_command(
        below,
        "rejudge",
        "eval:rejudge_logs",
        "judge the answers of logs again, and show how far several judges agree",
        "outputs/eval/after --judge llama_guard=meta-llama/Llama-Guard-3-8B --judge refusal_strings",
    )
    rejudge.add_argument("logs", nargs="+", metavar="LOG", help="a folder of eval, or any log of Inspect")
    rejudge.add_argument(
        "--judge", dest="judges", action="append", required=True, metavar="NAME[=MODEL]", help="once for each judge"
    )
    rejudge.add_argument("--out", default=argparse.SUPPRESS, help="folder for tables; default: outputs/eval_rejudge")
    rejudge.argument_default = argparse.SUPPRESS
    _add_asking(rejudge)


def _add_asking(command: argparse.ArgumentParser) -> None:
    """Options on how models are asked."""
    command.add_argument(
        "-J",
        dest="judge_settings",
        action="append",
        metavar="JUDGE.NAME=VALUE",
        help="setting of a judge, such as qwen3guard.mode=first_token",
    )
    command.add_argument(
        "--api-key-env",
        action="append",
        metavar="[JUDGE=]NAME",
        help="environment variable with the key of the model's server, or of a judge's",
    )
    command.add_argument(
        "--connections", type=int, metavar="N", help=f"requests to a model at a time; default: {CONNECTIONS}"
    )
