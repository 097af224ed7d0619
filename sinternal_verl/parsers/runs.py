"""The words of the commands around a run: before it, beside it and after it."""

from typing import Any

from sinternal_verl.parsers.common import RUN, add_command, add_overrides


def add_doctor(commands: Any) -> None:
    doctor = add_command(
        commands,
        "doctor",
        "doctor:doctor",
        "check a configuration; nothing is started and no model is loaded",
        "+recipe=sinternal_grpo actor_rollout_ref.model.path=/abs/model data.train_files=/abs/train.parquet "
        "data.val_files=/abs/val.parquet",
    )
    add_overrides(doctor, RUN, "sinternal_verl.config:compose_main")


def add_report(commands: Any) -> None:
    report = add_command(
        commands,
        "report",
        "report:report",
        "show a run, finished or under way, as one page, and several over one another",
        "checkpoints/sinternal/sinternal_grpo_seed1 -o report.html",
    )
    report.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="a run's checkpoint folder; or, of plain verl, its working folder or metrics file",
    )
    report.add_argument("-o", "--out", default="report.html", help="the page; default: report.html")
    report.add_argument(
        "--watch",
        nargs="?",
        type=float,
        const=30.0,
        metavar="SECONDS",
        help="make the page again as steps arrive, until the run has ended; default: 30",
    )
    report.add_argument("--rollouts", metavar="FOLDER", help="dumps of training; default: trainer.rollout_data_dir")
    report.add_argument("--validation", metavar="FOLDER", help="of validations; default: trainer.validation_data_dir")
    report.add_argument(
        "--texts",
        choices=("sample", "all"),
        default="sample",
        help="all puts the texts of all rollouts into files beside the page",
    )
    report.add_argument("--seed", type=int, default=1, help="of the sample of texts in the page")


def add_score(commands: Any) -> None:
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


def add_guard(commands: Any) -> None:
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


def add_verify(commands: Any) -> None:
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


def add_export(commands: Any) -> None:
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


def add_cluster(commands: Any) -> None:
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


def add_demo(commands: Any) -> None:
    for name, module, text, out in (
        ("demo", "run", "train a small policy on this machine's CPU, from nothing", "outputs/demo"),
        ("demo-verify", "verification", "the same for stage 1: a policy learns to verify", "outputs/demo_verify"),
    ):
        run = f"sinternal_verl.demo.{module}:run_demo"
        demo = add_command(commands, name, run, text, f"--out {out} --seed 1")
        demo.add_argument("--out", default=out, help="folder for everything the demo writes")
        demo.add_argument("--seed", type=int, default=1, help="of models, data and training")
