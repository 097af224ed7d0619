"""The words of `data`: files for training and evaluation."""

import argparse
from typing import Any

from sinternal_verl.parsers.common import RUN, add_command, add_overrides

FILES = "a .jsonl, .json, .csv, .tsv (each also .gz) or .parquet file, or a hub name, owner/name@revision:config/split"


def add_data(commands: Any) -> None:
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
