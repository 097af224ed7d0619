"""SInternal for veRL: data, checks, rewards and models around verl's own training commands."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any

from sinternal_verl.commands.parsing import COMMAND, Parser, Versions, add_command, add_group, add_overrides

FILES = "a .jsonl, .json, .csv, .tsv (each also .gz) or .parquet file, or a hub name, owner/name@revision:config/split"
RUN = "what you would give verl's main"

AFTER_INTERRUPT = {
    "data:convert_math": "nothing was written",
    "data:convert_safety": "nothing was written",
    "data:convert_answers": "nothing was written",
    "data:mix_files": "nothing was written",
    "sets:validation": "nothing was written",
    "sets:trotter": "nothing was written",
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
    _add_doctor(commands)
    _add_data(add_group(commands, "data", "make and check data files"))
    _add_score(commands)
    _add_guard(add_group(commands, "guard", "serve the guard to other programs"))
    _add_verify(add_group(commands, "verify", "make verification data, and measure how well a model verifies"))
    _add_eval(commands)
    _add_export(commands)
    _add_cluster(add_group(commands, "cluster", "wait for a Ray cluster on several nodes"))
    _add_demo(commands)
    return parser


def _add_doctor(commands: Any) -> None:
    doctor = add_command(
        commands,
        "doctor",
        "doctor:doctor",
        "check a configuration; nothing is started and no model is loaded",
        "+recipe=sinternal_grpo actor_rollout_ref.model.path=/abs/model data.train_files=/abs/train.parquet "
        "data.val_files=/abs/val.parquet",
    )
    add_overrides(doctor, RUN, "sinternal_verl.config:compose_main")


def _add_data(commands: Any) -> None:
    math = add_command(
        commands,
        "math",
        "data:convert_math",
        "turn a math set into verl's RL parquet",
        "--source HuggingFaceH4/MATH-500 --out math500.parquet",
    )
    math.add_argument("--data-source", dest="name", help="the rows' data_source; default: the set's name")
    _add_conversion(math)

    safety = add_command(
        commands,
        "safety",
        "data:convert_safety",
        "turn a set of harmful and benign prompts into verl's RL parquet",
        "--source star1.json --out star1.parquet",
    )
    safety.add_argument("--name", help="the rows' data_source is safety/harmful/NAME or safety/benign/NAME")
    safety.add_argument(
        "--label", dest="harm", choices=("harmful", "benign"), help="label of all rows, for a file without labels"
    )
    _add_conversion(safety)

    sft = add_command(
        commands,
        "sft",
        "data:convert_answers",
        "turn a set of whole answers into data for verl's SFT: the paper's baselines",
        "--source star1.json --out star1_sft.parquet",
    )
    sft.add_argument("--source", required=True, help=f"{FILES}, with question and response")
    sft.add_argument("--out", required=True, help="the parquet file to write")
    sft.add_argument("--thought", choices=("required", "none"), default="required", help="does the model think?")
    sft.add_argument("--fraction", type=float, default=1.0, help="share of the rows to keep")
    sft.add_argument("--seed", type=int, default=1, help="seed that chooses these rows")
    sft.add_argument("--skip-bad", action="store_true", help="write the good rows although there are bad ones")
    _add_against(sft)
    _add_hub(sft)

    mix = add_command(
        commands,
        "mix",
        "data:mix_files",
        "mix files of math and safety by a seed, and leave out prompts of evaluation files",
        "--part star1.parquet=500 --part math500.parquet=500 --against xstest.csv --out mix.parquet",
    )
    mix.add_argument(
        "--part",
        dest="parts",
        required=True,
        nargs="+",
        action="extend",
        metavar="FILE[:PATTERN]=COUNT",
        help="rows to take of a file of ours: a number or all; PATTERN chooses data sources, e.g. 'safety/benign/*'",
    )
    mix.add_argument("--out", required=True, help="the parquet file to write")
    mix.add_argument("--seed", type=int, default=1, help="of the sampling and of the order")
    _add_against(mix)
    mix.add_argument(
        "--ngram",
        type=int,
        default=13,
        metavar="WORDS",
        help="two prompts match if they share so many consecutive words",
    )

    evaluation = add_command(
        commands,
        "eval",
        "sets:validation",
        "make a validation file of slices of evaluation sets, each with its own curves",
        "strongreject=50 xstest=xstest_prompts.csv:50 math500=50 --out val.parquet",
    )
    evaluation.add_argument(
        "slices",
        nargs="+",
        metavar="NAME=[FILE:]COUNT",
        help="rows to take of a set: a number or all; docs/evaluation.md names the sets",
    )
    evaluation.add_argument("--out", required=True, help="the parquet file to write, for data.val_files")
    evaluation.add_argument(
        "--sets",
        dest="folder",
        metavar="FOLDER",
        help="folder with the files of sets that are given without one; default: where each is published",
    )
    evaluation.add_argument("--seed", type=int, default=1, help="draws the rows")

    trotter = add_command(
        commands,
        "trotter",
        "sets:trotter",
        "make the attacks of the set trotter of bare goals, by chains of ciphers",
        "--source TrotterStrong.jsonl --out trotter.jsonl --seed 1",
    )
    trotter.add_argument("--source", required=True, help=f"{FILES}, with the column ptq")
    trotter.add_argument(
        "--out", required=True, help="the JSON lines file to write; the same seed makes the same bytes"
    )
    trotter.add_argument("--seed", type=int, default=1, help="draws the ciphers")

    check = add_command(
        commands,
        "check",
        "data:check",
        "check a parquet file against what a run's scorers need",
        "mix.parquet guard=ray_actor",
    )
    check.add_argument("file", help="any parquet file for verl's RL main")
    add_overrides(check, f"{RUN}; default: the GRPO recipe")


def _add_conversion(command: argparse.ArgumentParser) -> None:
    command.add_argument("--source", required=True, help=FILES)
    command.add_argument("--out", required=True, help="the parquet file to write")
    command.add_argument("--index", metavar="COLUMN", help="column of extra_info.index; default: unique_id, id or row")
    command.add_argument(
        "--split", metavar="LABEL", help="the rows' extra_info.split; default: train or test by the set"
    )
    command.add_argument(
        "--adapter", metavar="FILE.py", help="your own, for a file of another form; see CONTRIBUTING.md"
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
    command.add_argument(
        "--hub-config", metavar="NAME", help="which configuration of the hub dataset, if it has several"
    )
    command.add_argument("--hub-split", metavar="NAME", help="which split of the hub dataset, if it has several")
    command.add_argument("--revision", help="commit of the hub dataset; with it a later call reads the same rows")


def _add_score(commands: Any) -> None:
    score = add_command(
        commands,
        "score",
        "score:score",
        "score the responses in a file as a run would, one result a row",
        "--in responses.jsonl --out scored.jsonl guard=ray_actor sinternal.guard.engine.model=Qwen/Qwen3Guard-Gen-8B",
    )
    score.add_argument(
        "--in", dest="source", required=True, metavar="ROWS.jsonl", help="prompt, response, data_source, ground_truth"
    )
    score.add_argument(
        "--out", required=True, metavar="SCORED.jsonl", help="one result a row; an unfinished file is continued"
    )
    score.add_argument("--data-source", metavar="NAME", help="data source of rows that have none")
    score.add_argument("--ground-truth", metavar="TEXT", help="ground truth of rows that have none, e.g. harmful")
    score.add_argument("--concurrency", type=int, default=256, metavar="ROWS", help="rows in flight")
    add_overrides(score, f"{RUN}, e.g. guard=ray_actor")


def _add_guard(commands: Any) -> None:
    serve = add_command(
        commands,
        "serve",
        "guard:serve",
        "serve the guard to other programs, OpenAI-compatible, until the process is ended",
        "--port 8000 sinternal.guard.engine.model=Qwen/Qwen3Guard-Gen-8B sinternal.guard.replicas=2",
    )
    serve.add_argument("--host", default="127.0.0.1", help="0.0.0.0 for other machines; this needs a key, or --open")
    serve.add_argument("--port", type=int, default=8000, help="0 takes a free one and prints it")
    serve.add_argument("--api-key-env", metavar="NAME", help="environment variable with the key requests must bring")
    serve.add_argument("--open", dest="open_to_all", action="store_true", help="serve other machines without a key")
    add_overrides(serve, RUN, "sinternal_verl.commands.guard:compose_served")


def _add_verify(commands: Any) -> None:
    example = (
        "prompts=requests.parquet out=outputs/verify policy.model=/abs/model expert.model=NAME expert.url=https://…/v1"
    )
    helps = {
        "build": "sample, critique and select, going on where an earlier call stopped",
        "sample": "ask the policy for answers to every prompt",
        "critique": "ask the expert for a critique and verdict of every answer",
        "select": "write the parquet file for verl's SFT from the stored replies",
        "merge": "make one file and report of the parts that an array of Slurm has built",
        "show": "print what the store holds, a line of JSON for every answer",
        "evaluate": "compare a model's verdicts on its own answers with the expert's",
    }
    for name, text in helps.items():
        command = add_command(commands, name, "verify:verify", text, example)
        command.set_defaults(command=name)
        # Also of the commands that ask no model: scripts give all stages the same words.
        command.add_argument("--yes", action="store_true", help="do not ask whether to go on after the estimate")
        add_overrides(command, "keys of the recipe, see below", "sinternal_verl.verify.settings:compose_build")
        command.recipe = "verify/build.yaml"


def _add_eval(commands: Any) -> None:
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
    model = "a folder (from export), a hub id (owner/name@revision), https://host/v1#name, or a name of Inspect"
    suite.add_argument("--model", metavar="MODEL", help=model)
    suite.add_argument("--suite", metavar="NAME", help="the tasks to run; default: paper")
    suite.add_argument("--tasks", metavar="A,B", help="these tasks instead")
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
    command.add_argument("--connections", type=int, metavar="N", help="requests to a model at a time; default: 64")


def _add_export(commands: Any) -> None:
    export = add_command(
        commands,
        "export",
        "export:export",
        "write a checkpoint of verl as a Hugging Face folder",
        "--checkpoint checkpoints/sinternal/sinternal_sft_seed1 --out outputs/verifier",
    )
    export.add_argument(
        "--checkpoint",
        dest="source",
        required=True,
        metavar="FOLDER",
        help="folder of a run (its last checkpoint is taken) or of one step (global_step_N)",
    )
    export.add_argument("--out", required=True, help="the folder to write")
    export.add_argument("--base", help="model that the run was started from; default: the one in its record")
    export.add_argument("--adapter", action="store_true", help="write only the LoRA adapter")


def _add_cluster(commands: Any) -> None:
    wait = add_command(
        commands,
        "wait",
        "cluster:wait",
        "wait until every node has joined, and name those that have not",
        "10.0.0.1:6379 node1 node2 --timeout 300",
    )
    wait.add_argument("address", help="host:port of the head")
    wait.add_argument("names", nargs="+", metavar="NODE", help="started by ray start --labels=sinternal/node=NODE")
    wait.add_argument(
        "--timeout", dest="limit_s", type=float, default=300, metavar="SECONDS", help="for all nodes together"
    )


def _add_demo(commands: Any) -> None:
    for name, module, text, out in (
        ("demo", "run", "train a small policy on this machine's CPU, from nothing", "outputs/demo"),
        ("demo-verify", "verification", "the same for stage 1: a policy learns to verify", "outputs/demo_verify"),
    ):
        run = f"sinternal_verl.demo.{module}:run_demo"
        demo = add_command(commands, name, run, text, f"--out {out} --seed 1")
        demo.add_argument("--out", default=out, help="folder for everything the demo writes")
        demo.add_argument("--seed", type=int, default=1, help="of models, data and training")


def load(name: str) -> Any:
    """The function that ``module:function`` names. A module without a dot belongs to ``sinternal_verl.commands``."""
    module, _, function = name.partition(":")
    module = module if "." in module else f"sinternal_verl.commands.{module}"
    return getattr(importlib.import_module(module), function)


if __name__ == "__main__":
    sys.exit(main())
