"""The safety sets as tasks of Inspect.

    inspect eval sinternal_verl/strongreject --model vllm/MODEL --model-role judge=vllm/meta-llama/Llama-Guard-3-8B

Their parameters (``-T name=value``):

``source``          a file; without it the hub's pinned revision
``judge``           a name of `sinternal_verl.evaluation.judges.JUDGES`; its model plays the role ``judge``
``judge_settings``  the judge's own settings, as JSON
``judged``          answer, thought or both: what the judge reads
``thought``         required: an answer follows ``</think>``; none: the model does not think

and those of `sinternal_verl.evaluation.tasks.decoding.Decoding`.
"""

from collections.abc import Mapping
from typing import Any, Literal

from inspect_ai import Task, task
from inspect_ai._util.error import PrerequisiteError

from sinternal_verl.evaluation.tasks.asking import ask_model
from sinternal_verl.evaluation.tasks.decoding import GREEDY
from sinternal_verl.evaluation.tasks.figures import ASR, COMPLIANCE, REFUSAL, RUBRIC, figure_of
from sinternal_verl.evaluation.tasks.making import check, choose, make_task, read_set, together
from sinternal_verl.evaluation.tasks.opened import JUDGE_ROLE
from sinternal_verl.evaluation.tasks.scorers import JUDGED_SCORERS
from sinternal_verl.scoring.response import Thought
from sinternal_verl.scoring.safety import Judged

Label = Literal["harmful", "benign"]
Settings = Mapping[str, Any] | None

ASR_JUDGE, REFUSAL_JUDGE, XSTEST_JUDGE = "llama_guard", "wildguard", "xstest"
"""[sister] Who judges attacks, refusals of benign requests, and XSTest."""

THEIRS = (ASR, COMPLIANCE, REFUSAL)
"""The figures that a task's tag is about; others are ours to offer."""


def safety_task(
    name: str,
    label: Label,
    tag: str,
    source: str | None,
    judge: str,
    judged: Judged,
    thought: Thought,
    judge_settings: Settings,
    decoding: Mapping[str, Any],
    **options: Any,
) -> Task:
    """A task of a set.

    Args:
        name: of the set.
        label: of its requests.
        tag: who has the figure by its usual judge.
        judge, judged, thought, judge_settings: see the module.
        decoding: parameters of `Decoding` that the user gave, or that do not exist.
        options: of the set.

    Raises:
        PrerequisiteError: a parameter is wrong, or the set cannot be loaded; the message says what to do.
    """
    given = {"source": source, "judged": judged, "thought": thought, "judge_settings": judge_settings, **options}
    how, figure, _ = together(
        lambda: GREEDY.changed(name, decoding),
        lambda: check(figure_of, judge, label, judge_settings or {}),
        lambda: choose(name, **given),
    )
    loaded = read_set(name, source, options)
    if figure is RUBRIC and not any(item.rubric for item in loaded.items):
        raise PrerequisiteError(f"{name}: judge={judge}: no item has a rubric; its file must have that column")
    return make_task(
        loaded,
        how,
        ask_model(thought, how.epochs, [(judge, JUDGE_ROLE, judge_settings)]),
        JUDGED_SCORERS[figure.scorer](judge, judged, thought, judge_settings),
        figure.origin(tag if figure in THEIRS else "[ours]"),
        {"judge": judge, "judged": judged, "thought": thought},
    )


@task
def strongreject(
    source: str | None = None,
    judge: str = ASR_JUDGE,
    judged: Judged = "answer",
    thought: Thought = "required",
    judge_settings: Settings = None,
    **decoding: Any,
) -> Task:
    """StrongREJECT: direct harmful requests. ASR, lower is better. [paper]"""
    return safety_task("strongreject", "harmful", "[paper]", source, judge, judged, thought, judge_settings, decoding)


@task
def jailbreak_r1(
    source: str | None = None,
    judge: str = ASR_JUDGE,
    judged: Judged = "answer",
    thought: Thought = "required",
    judge_settings: Settings = None,
    goals: str | None = None,
    **decoding: Any,
) -> Task:
    """Attacks that JailBreak-R1 wrote around StrongREJECT's requests. ASR, lower is better. [paper]

    Args:
        goals: a StrongREJECT file whose rows a judge reads as requests, row by row; without it the attacks.
    """
    return safety_task(
        "jailbreak_r1", "harmful", "[paper]", source, judge, judged, thought, judge_settings, decoding, goals=goals
    )


@task
def fortress(
    source: str | None = None,
    judge: str | None = None,
    judged: Judged = "answer",
    thought: Thought = "required",
    judge_settings: Settings = None,
    benign: bool = False,
    **decoding: Any,
) -> Task:
    """FORTRESS's attacks: ASR [paper], or with judge=fortress the rubric's score; lower is better.

    Args:
        benign: the benign twins instead: refusal rate, lower is better. [ours; official score: by refusals, too]
    """
    name, label, tag, usual = _half(benign, "fortress")
    return safety_task(name, label, tag, source, judge or usual, judged, thought, judge_settings, decoding)


@task
def wildjailbreak(
    source: str | None = None,
    judge: str | None = None,
    judged: Judged = "answer",
    thought: Thought = "required",
    judge_settings: Settings = None,
    benign: bool = False,
    subset: str | None = None,
    **decoding: Any,
) -> Task:
    """WildJailbreak's adversarial harmful requests. ASR, lower is better. [paper; subset sister]

    Args:
        benign: the benign ones instead: refusal rate, lower is better. [ours]
        subset: paper takes the paper's 250, all takes all.
    """
    name, label, tag, usual = _half(benign, "wildjailbreak")
    options = {} if benign else {"subset": subset}
    if benign and subset:
        raise PrerequisiteError("wildjailbreak: subset is of the harmful requests; leave it out, or benign")
    return safety_task(name, label, tag, source, judge or usual, judged, thought, judge_settings, decoding, **options)


@task
def hcot(
    source: str | None = None,
    judge: str = ASR_JUDGE,
    judged: Judged = "answer",
    thought: Thought = "required",
    judge_settings: Settings = None,
    variant: str | None = None,
    **decoding: Any,
) -> Task:
    """H-CoT: requests with a thought of another model put into their mouth. ASR, lower is better. [paper]

    Args:
        variant: whose thoughts: DeepSeek-R1 [ours], o1, o3-mini or Gemini-2.0-Flash-Thinking.
    """
    return safety_task(
        "hcot", "harmful", "[paper]", source, judge, judged, thought, judge_settings, decoding, variant=variant
    )


@task
def trotter(
    source: str | None = None,
    judge: str = ASR_JUDGE,
    judged: Judged = "answer",
    thought: Thought = "required",
    judge_settings: Settings = None,
    goals: str | None = None,
    seed: int | None = None,
    save: str | None = None,
    **decoding: Any,
) -> Task:
    """Mousetrap Trotter: requests hidden by chains of ciphers. ASR, lower is better. [paper]

    Args:
        goals: Strong or Advanced, where the hub is read.
        seed: of the ciphers, where the file has goals alone.
        save: a file to which the attacks are written.
    """
    options = {"goals": goals, "seed": seed, "save": save}
    return safety_task(
        "trotter", "harmful", "[paper]", source, judge, judged, thought, judge_settings, decoding, **options
    )


@task
def xstest(
    source: str | None = None,
    judge: str = XSTEST_JUDGE,
    judged: Judged = "answer",
    thought: Thought = "required",
    judge_settings: Settings = None,
    half: Literal["safe", "unsafe"] = "safe",
    **decoding: Any,
) -> Task:
    """XSTest's safe half: rate of full compliance, higher is better. [paper]

    Args:
        half: unsafe takes the other half, where a lower rate is better. [ours]
    """
    if half not in ("safe", "unsafe"):
        raise PrerequisiteError(f"xstest: half={half}: choose safe or unsafe; one figure cannot be of both")
    label, tag = ("benign", "[paper]") if half == "safe" else ("harmful", "[ours]")
    return safety_task("xstest", label, tag, source, judge, judged, thought, judge_settings, decoding, half=half)


@task
def harmbench(
    source: str | None = None,
    judge: str = ASR_JUDGE,
    judged: Judged = "answer",
    thought: Thought = "required",
    judge_settings: Settings = None,
    functional: str | None = None,
    **decoding: Any,
) -> Task:
    """HarmBench's behaviours, each with its context. ASR, lower is better. [ours]

    Args:
        functional: all, standard, contextual or copyright.
    """
    return safety_task(
        "harmbench",
        "harmful",
        "[ours]",
        source,
        judge,
        judged,
        thought,
        judge_settings,
        decoding,
        functional=functional,
    )


def _half(benign: bool, name: str) -> tuple[str, Label, str, str]:
    """Name of the set, its label, the figure's tag and the usual judge.

    Raises:
        PrerequisiteError: ``benign`` is neither true nor false.
    """
    choose(name, benign=benign)
    if benign:
        return f"{name}_benign", "benign", "[ours]", REFUSAL_JUDGE
    return name, "harmful", "[paper]", ASR_JUDGE
