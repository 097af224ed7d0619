"""A plan: the figures of a configuration on a card, what does not fit, and how it grows with nodes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from omegaconf import DictConfig

from sinternal_verl.config import FSDP, get, is_ppo, model_key, strategy_key, trains_with_fsdp
from sinternal_verl.doctor.flash_attn import VERL_TAKES, wanted_attention
from sinternal_verl.doctor.problem import Finding
from sinternal_verl.gpus import GUARD, MODE, NODES, OF_REPLICA, REPLICAS, gpus_for
from sinternal_verl.plan.cards import Card
from sinternal_verl.plan.factors import Factors
from sinternal_verl.plan.figures import Figure, Line, figures_of
from sinternal_verl.plan.fitting import change_that_fits, misfits, refusals
from sinternal_verl.plan.growth import Size, growth
from sinternal_verl.plan.grpo import answer_tokens, grpo_step, guard_of, judges_without_gpu
from sinternal_verl.plan.grpo_lines import grpo_lines
from sinternal_verl.plan.guarding import guard_path
from sinternal_verl.plan.setup import ROLLOUT, Setup, set_up
from sinternal_verl.plan.sft import sft_lines
from sinternal_verl.plan.sizes import CannotPlan, size_of_model, sliding_window
from sinternal_verl.plan.work import PAPER_PROMPTS, PAPER_RESPONSE, PAPER_SAMPLES, Asked

MEMORY = "memory of a card"

Compose = Callable[[Sequence[str]], DictConfig]


@dataclass(frozen=True)
class Plan:
    """Attributes:
    figures: every number, in the order in which it is shown.
    misfits: what does not fit the cards; ``change`` is what to type so that it does, None where nothing was found.
    refusals: why the run would not start.
    notes: what the plan does not count, in sentences.
    growth: the run on several numbers of nodes; empty where none were asked for.
    """

    setup: Setup
    figures: list[Figure]
    misfits: list[Finding] = field(default_factory=list)
    change: str | None = None
    refusals: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    growth: list[Size] = field(default_factory=list)


def make_plan(words: Sequence[str], compose: Compose, card: Card, asked: Asked, nodes: Sequence[int] = ()) -> Plan:
    """Plan the run that the words describe.

    Args:
        compose: makes a configuration of words.
        nodes: numbers of nodes for the growth.

    Raises:
        CannotPlan: the model's size is not known, or a plan would count what the run does not do.
        CannotReckon: transformers cannot build the model.
        hydra.errors.HydraException: the words do not compose.
    """

    def set_up_with(more: Sequence[str]) -> Setup:
        return set_up(compose([*words, *more]), card, asked)

    setup = set_up_with([])
    _refuse_too_few_rows(setup)
    lines_of = grpo_lines if is_ppo(setup.config) else sft_lines
    found = misfits(setup)
    return Plan(
        setup,
        [*_memory(setup), *figures_of(lambda factors: lines_of(setup, factors))],
        found,
        change_that_fits(setup, set_up_with) if found else None,
        refusals(setup.config),
        _notes(setup),
        growth([set_up_with([f"{NODES}={number}"]) for number in nodes]),
    )


def _refuse_too_few_rows(setup: Setup) -> None:
    rows = setup.rows(PAPER_PROMPTS if is_ppo(setup.config) else PAPER_SAMPLES)
    if rows < (batch := get(setup.config, "data.train_batch_size")):
        where = "--prompts" if setup.asked.prompts else setup.train.source
        step = "lower data.train_batch_size, or give more rows"
        if where == setup.train.source and setup.train.count is None:
            step += " (--prompts: the paper's number is taken)"
        raise CannotPlan(f"{where}: {rows} rows make no step of {batch}; {step}")


def _memory(setup: Setup) -> list[Figure]:
    """The checks' own figures, which no factor changes."""
    if setup.needs is None:
        return []
    lines = [
        Line(MEMORY, f"{line.role}: {part}", gb, "GB", "see the table")
        for line in setup.needs.lines
        for part, gb in (*line.parts.items(), ("all", line.total))
    ]
    lines.append(Line(MEMORY, "host of a node, for what is offloaded", setup.needs.host, "GB", "see the table"))
    return [
        Figure(line.section, line.name, line.value, line.value, line.value, line.unit, line.formula, ())
        for line in lines
    ]


def _notes(setup: Setup) -> list[str]:
    config = setup.config
    notes = []
    if setup.needs is None:
        notes.append("memory is not reckoned: the run trains on a CPU, or with another engine than FSDP")
    if get(config, strategy_key(config), "fsdp") not in FSDP:
        key = strategy_key(config)
        notes.append(f"{key}={get(config, key)}: the times of training are those of FSDP, which gathers all weights")
    if trains_with_fsdp(config) and wanted_attention(config) != VERL_TAKES:
        notes.append("the run has no flash-attn, as this machine; --flash-attn yes plans it with flash-attn")
    if setup.train.count is None and setup.asked.prompts is None:
        notes.append(f"{setup.train.source}: the number of rows is the paper's; --prompts gives another")
    if is_ppo(config):
        if setup.held_out.count is None:
            notes.append(f"{setup.held_out.source}: validation is not counted")
        if setup.train.safety is None and setup.asked.response_tokens is None:
            notes.append("half of the prompts are taken for safety prompts, as in the paper, if there is a guard")
        if str(get(config, MODE)).endswith("async"):
            notes.append(f"{MODE}={get(config, MODE)}: a plan takes the phases one after another, and these overlap")
        if get(config, "algorithm.filter_groups.enable"):
            notes.append("algorithm.filter_groups: prompts that are drawn again are not counted")
        limit = get(config, "data.max_response_length")
        if limit > PAPER_RESPONSE and setup.asked.response_tokens is None:
            notes.append(
                f"data.max_response_length={limit}: responses are taken to be as long as with {PAPER_RESPONSE:,} "
                "tokens allowed; --response-tokens gives another mean"
            )
        if (window := sliding_window(model := get(config, f"{model_key(config)}.path"))) is not None:
            notes.append(
                f"{model_key(config)}.path={model}: some of its blocks attend to the last {window:,} tokens alone; a "
                "plan counts all tokens, in the cache and in attention"
            )
        path = guard_path(config)
        if path and size_of_model(path) is None:
            notes.append(
                f"sinternal.guard.engine.model={path}: its size is not known, so neither its memory nor its time is "
                "counted; a folder with its config.json gives it"
            )
        if judges_without_gpu(setup):
            notes.append(f"{OF_REPLICA}=0: the guard runs on the processors, and its time is not counted")
        if (kind := get(config, f"{ROLLOUT}.quantization")) is not None:
            notes.append(
                f"{ROLLOUT}.quantization={kind}: vLLM's weights are reckoned as of {ROLLOUT}.dtype, so rollouts take "
                "less memory and time than is shown"
            )
        if (idle := _idle_guard(setup)) is not None:
            notes.append(idle)
        if get(config, "sinternal.guard.backend") == "openai_endpoint":
            notes.append("the guard runs elsewhere: its cards are not counted, and it is taken to keep up")
    else:
        if get(config, "data.val_files"):
            notes.append("data.val_files: SFT's validation is not counted")
        if get(config, "trainer.n_gpus_per_node", 1) == 1:
            notes.append(
                "torchrun is taken to start one process on a node; trainer.n_gpus_per_node=8 says another number"
            )
    if get(config, f"{model_key(config)}.lora_rank", 0) and is_ppo(config):
        notes.append("vLLM's own work for LoRA is not counted")
    return notes


def _idle_guard(setup: Setup) -> str | None:
    """A sentence where the guard holds more cards than it needs."""
    config, factors = setup.config, Factors.at("slow")
    held, path = int(get(config, GUARD, 0)), guard_path(config)
    if held < 2 or not path or (guard := guard_of(setup, factors, path)) is None:
        return None
    step = grpo_step(setup, factors)
    work = step.rollouts
    answer = answer_tokens(factors, work)
    needed = guard.replicas(work.safety, step.generated.seconds, work.prompt, answer)
    cards = gpus_for(needed, guard.share)
    if cards >= held:
        return None
    return (
        f"the guard holds {held} cards, and {cards} would keep up, even with slow assumptions. "
        f"{REPLICAS}={needed} frees the "
        "others; they train where a step's rows divide by them (data.train_batch_size)"
    )
