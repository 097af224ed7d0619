"""What a plan is made of: the configuration, the card, the sizes of the models, and where each process runs."""

from dataclasses import dataclass, field
from functools import cached_property

from omegaconf import DictConfig, OmegaConf

from sinternal_verl.config import engine_key, get, is_ppo, model_key, sequence_parallel_size
from sinternal_verl.doctor.fits import Needs, policy_size, reckon
from sinternal_verl.doctor.flash_attn import VERL_TAKES, wanted_attention
from sinternal_verl.doctor.memory import BYTES, HALF, ModelSize, Training
from sinternal_verl.doctor.pretrained import read_config
from sinternal_verl.doctor.values import check_numbers
from sinternal_verl.gpus import GUARD, NODE, NODES, TRAINING, rollout_gpus
from sinternal_verl.plan.cards import Card
from sinternal_verl.plan.factors import Factors
from sinternal_verl.plan.generation import Engine
from sinternal_verl.plan.sizes import EXPERTS, CannotPlan, needed, size_of_model
from sinternal_verl.plan.training import Trainer
from sinternal_verl.plan.work import Asked, Rows, rows_of, steps_of, taken

ROLLOUT, ACTOR = "actor_rollout_ref.rollout", "actor_rollout_ref.actor"

COUNTED = (
    *(NODES, TRAINING),
    *(f"{ROLLOUT}.{name}" for name in ("max_num_seqs", "val_kwargs.n")),
    *(f"{ACTOR}.{name}" for name in ("ppo_epochs", "ppo_max_token_len_per_gpu", "ppo_micro_batch_size_per_gpu")),
    *(f"data.{name}" for name in ("max_token_len_per_gpu", "micro_batch_size_per_gpu")),
)
"""Keys that a plan divides by, besides those of the checks; all but the first two may be absent."""


@dataclass(frozen=True)
class Setup:
    """A configuration on cards.

    Attributes:
        nodes: number of nodes.
        per_node: training processes of a node, each on a card.
        cards: cards of all nodes, those that are the guard's or idle included.
        needs: the checks' reckoning of memory; None on a CPU.
        train, held_out: rows of the training and of the validation files.
    """

    config: DictConfig
    card: Card
    size: ModelSize
    nodes: int
    per_node: int
    cards: int
    train: Rows
    held_out: Rows
    asked: Asked = field(default_factory=Asked)
    needs: Needs | None = None

    @property
    def processes(self) -> int:
        return self.nodes * self.per_node

    def rows(self, otherwise: int) -> int:
        """Training rows that the run takes: of those that are given, or else of the files'.

        Args:
            otherwise: their number where neither is known.
        """
        known = self.train.count if self.asked.prompts is None else self.asked.prompts
        return taken(self.config, otherwise if known is None else known)

    def steps(self, otherwise: int) -> tuple[int, int]:
        """Steps of an epoch, and of the run."""
        epoch = self.rows(otherwise) // max(int(get(self.config, "data.train_batch_size", 1)), 1)
        return epoch, steps_of(self.config, epoch)

    @cached_property
    def training(self) -> Training:
        return Training.of(self.config, self.processes, self.per_node)

    @cached_property
    def param(self) -> int:
        """Bytes of a weight in forward and backward passes."""
        kind = get(self.config, f"{engine_key(self.config)}.mixed_precision.param_dtype", "bf16")
        return BYTES.get(kind, HALF)

    def trainer(self, factors: Factors) -> Trainer:
        ulysses = get(self.config, "engine.ulysses_sequence_parallel_size", 1)
        together = sequence_parallel_size(self.config) if is_ppo(self.config) else ulysses
        dense = wanted_attention(self.config) != VERL_TAKES
        return Trainer(self.size, self.training, self.card, factors, self.processes, self.param, together, dense)

    @property
    def engine_cards(self) -> int:
        return int(get(self.config, f"{ROLLOUT}.tensor_model_parallel_size", 1))

    @property
    def engines(self) -> int:
        """vLLM engines that generate rollouts."""
        generating = self.processes + rollout_gpus(self.config) * self.nodes
        return max(1, generating // self.engine_cards)

    def engine(self, factors: Factors) -> Engine:
        line = next((line for line in self.needs.lines if line.role == "rollout"), None) if self.needs else None
        return Engine(
            self.size,
            self.card,
            factors,
            BYTES.get(get(self.config, f"{ROLLOUT}.dtype", "bfloat16"), HALF),
            self.engine_cards,
            int(get(self.config, f"{ROLLOUT}.max_num_seqs", 256)),
            line.tokens if line and line.tokens else None,
        )


def set_up(config: DictConfig, card: Card, asked: Asked | None = None) -> Setup:
    """
    Raises:
        CannotPlan: the size of the model that learns is not known.
        CannotReckon: transformers cannot build it.
    """
    _refuse_other_numbers(config)
    key = f"{model_key(config)}.path"
    path = get(config, key)
    size = needed(key, path, policy_size(config, size_of_model))
    refuse_experts(key, path)
    nodes = int(get(config, NODES, 1))
    per_node = int(get(config, TRAINING, 1))
    node = int(get(config, NODE, 0)) if is_ppo(config) else 0
    held = per_node * nodes
    if is_ppo(config):
        held += int(get(config, GUARD, 0)) + rollout_gpus(config) * nodes
    columns = ("prompt",) if is_ppo(config) else ("prompt", "completion", "messages")
    sources = get(config, "data.reward_fn_key", "data_source") if is_ppo(config) else None
    return Setup(
        config=config,
        card=card,
        size=size,
        nodes=nodes,
        per_node=per_node,
        cards=max(held, node * nodes),
        train=rows_of(config, "data.train_files", columns, sources),
        held_out=rows_of(config, "data.val_files", columns, sources),
        asked=asked or Asked(),
        needs=reckon(config, (card.memory, f"{card.name}'s"), (per_node * nodes, per_node), size_of_model),
    )


def refuse_experts(key: str, path: str | None) -> None:
    """
    Raises:
        CannotPlan: a token passes only some of the model's weights.
    """
    found = read_config(path) if path and "://" not in path else None
    experts = next((name for name in EXPERTS if found is not None and getattr(found.get_text_config(), name, 0)), None)
    if experts:
        raise CannotPlan(
            f"{key} = {path}: {experts} says that a token passes only some of its weights. A plan counts all"
        )


def _refuse_other_numbers(config: DictConfig) -> None:
    """
    Raises:
        CannotPlan: a number is one that the checks refuse, or that nothing can be divided by.
    """
    if found := next(check_numbers(config), None):
        raise CannotPlan(f"{found.key} = {found.value}: {found.reason}")
    for key in COUNTED:
        value = OmegaConf.select(config, key)
        absent = value is None and key not in (NODES, TRAINING)
        if not absent and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise CannotPlan(f"{key} = {value}: a plan needs a whole number from 1 on")
