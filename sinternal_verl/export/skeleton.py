"""The model of a checkpoint without its data (device ``meta``): which parameters it has, of which shapes, which of them
are tied, and where an adapter stands. transformers and peft build it, so names and scales are theirs."""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub.errors import StrictDataclassError

from sinternal_verl.export.checkpoint import ADAPTER_CONFIG, LORA, Checkpoint
from sinternal_verl.export.errors import ExportError
from sinternal_verl.export.objects import read_object

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from transformers import PreTrainedModel

Specs = dict[str, torch.Tensor]
"""Name -> a tensor on ``meta``."""

PEFT_PREFIX, PEFT_NAME = "base_model.model.", "default"
"""What peft puts before a parameter's name, and the name that verl's adapter has. (peft 0.21)"""

MAX_NAMES = 5
"""How many parameters a message names."""

MAX_REASON = 200
"""Characters of another library's error that a message repeats."""

OF_CONFIGURATIONS = (
    *(ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RuntimeError, ImportError, OSError),
    StrictDataclassError,
)
"""What transformers raises of a configuration with wrong values."""

_BY_PEFT = re.compile(r"lora_magnitude_vector|modules_to_save|lora_B\.\w+\.bias|trainable_tokens_")
"""Parameters of an adapter that verl does not make itself: it trains one that peft has made."""


@dataclass(frozen=True)
class Skeleton:
    """
    Attributes:
        model: of transformers; its modules are those of ``adapted``.
        specs: the finished model's parameters and buffers, in order.
        tied: alias -> the name under which the parameter is kept.
        adapted: the same model with its adapter; None without one.
        expected: what a checkpoint of it holds, under the names that peft gives.
        adapter: those of ``expected`` that belong to the adapter.
    """

    model: "PreTrainedModel"
    specs: Specs
    tied: dict[str, str]
    adapted: "PeftModel | None"
    expected: Specs
    adapter: frozenset[str]

    @classmethod
    def of(cls, checkpoint: Checkpoint, held: Specs, base: str | None) -> "Skeleton":
        """Build the model of a checkpoint.

        Args:
            held: what its shards hold.
            base: what the adapter's configuration names as its base model.

        Raises:
            ExportError: the configuration is of no causal model, or does not say how the adapter is scaled.
        """
        model = _empty(checkpoint.hf_folder)
        specs, tied = model.state_dict(), _tied(model)
        if not checkpoint.lora:
            return cls(model, specs, tied, None, specs, frozenset())
        config = _adapter_config(checkpoint, held, [name for name, _ in model.named_modules()])
        adapted = _with_adapter(model, config, base)
        expected = adapted.state_dict()
        return cls(model, specs, tied, adapted, expected, _adapter_names(adapted, expected))

    def check(self, held: Specs, folder: Path) -> None:
        """Compare with what the shards of ``folder`` hold: everything, or the adapter alone.

        Raises:
            ExportError: there is too little, too much, or another shape.
        """
        alone = self.adapted is not None and held.keys() <= self.adapter
        wanted = self.adapter if alone else self.expected.keys()
        missing = [name for name in wanted if self.kept_name(name, held) is None]
        unexpected = [name for name in held if name not in self.expected]
        if alone and (dropped := [name for name in missing if "lora_" not in name]):
            reason = "verl leaves them out with checkpoint.save_lora_only=True, and they were trained"
            raise ExportError(f"{folder} holds the adapter without {_few(dropped)}: {reason}")
        for what, names in (("lacks", missing), ("holds besides", unexpected)):
            if names:
                raise ExportError(f"the checkpoint does not fit its own configuration: it {what} {_few(names)}")
        for name, spec in held.items():
            if spec.shape != (wanted := self.expected[name].shape):
                reason = f"{name} is {tuple(spec.shape)}, and {tuple(wanted)} by the configuration"
                raise ExportError(f"the checkpoint does not fit its own configuration: {reason}")

    def kept_name(self, name: str, held: Specs) -> str | None:
        """The name under which ``held`` keeps a parameter of ``expected``: a tied one goes by either name. None where
        it does not."""
        if name in held or plain_name(name) not in self._tied_names:
            return name if name in held else None
        return next(
            (other for other in self.expected if other in held and self._source(other) == self._source(name)), None
        )

    @property
    def _tied_names(self) -> set[str]:
        return {*self.tied, *self.tied.values()}

    def _source(self, name: str) -> str:
        return self.tied.get(plain_name(name), plain_name(name))


def plain_name(name: str) -> str:
    """The name of a base model's parameter as transformers gives it.

    >>> plain_name("base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight")
    'model.layers.0.self_attn.q_proj.weight'
    """
    return name.removeprefix(PEFT_PREFIX).replace(".base_layer.", ".").replace(".original_module.", ".")


def _few(names: list[str]) -> str:
    return ", ".join(names[:MAX_NAMES]) + (f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else "")


def _empty(folder: Path) -> "PreTrainedModel":
    from transformers import AutoConfig, AutoModelForCausalLM

    read_object(folder / "config.json")
    try:
        config = AutoConfig.from_pretrained(folder)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    except OF_CONFIGURATIONS as error:
        reason = " ".join(str(error).split())[:MAX_REASON]
        raise ExportError(f"{folder} describes no causal model that transformers makes: {reason}") from error


def _tied(model: torch.nn.Module) -> dict[str, str]:
    first: dict[int, str] = {}
    named = model.named_parameters(remove_duplicate=False)
    return {name: kept for name, value in named if (kept := first.setdefault(id(value), name)) != name}


def _adapter_config(checkpoint: Checkpoint, held: Specs, modules: list[str]) -> "LoraConfig":
    from peft import LoraConfig, PeftConfig

    adapter = {name: spec for name, spec in held.items() if ".lora_" in name}
    lora, source = checkpoint.lora, checkpoint.adapter_source
    if not adapter:
        raise ExportError(f"{checkpoint.folder} tells of an adapter of rank {lora.get('r')}, but holds none")
    if not lora.get("lora_alpha"):
        raise ExportError(f"{checkpoint.folder} does not say the adapter's alpha, without which it cannot be fused")
    put = f"put its {ADAPTER_CONFIG} into {checkpoint.folder}"
    if source:
        try:
            config = PeftConfig.from_pretrained(source)
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = f"the run's adapter goes on from {source}, whose {ADAPTER_CONFIG} says how it is scaled"
            raise ExportError(f"{reason} and cannot be read ({error}): {put}") from error
        if not isinstance(config, LoraConfig):
            raise ExportError(f"{source} is an adapter of the kind {config.peft_type}; only LoRA can be exported")
        # verl writes what peft trained, alpha as a whole number. The run's settings do not hold for one that it loads.
        told = lora if (checkpoint.folder / LORA).is_file() else {}
        values = {key: getattr(config, key) for key in ("r", "lora_alpha")}
        if differing := [key for key, value in values.items() if told.get(key, value) not in (value, int(value))]:
            said = " and ".join(f"{key} {told[key]}" for key in differing)
            there = " and ".join(f"{key} {values[key]}" for key in differing)
            reason = f"the adapter was trained with {said}, and {ADAPTER_CONFIG} of {source} says {there}"
            raise ExportError(f"{reason}: it is of another adapter; {put}")
        # The layers are filled below; no start of the training is repeated.
        config.init_lora_weights = True
    else:
        ranks = {spec.shape[0] for name, spec in adapter.items() if ".lora_A." in name}
        if further := [name for name in held if _BY_PEFT.search(name)] or len(ranks) > 1:
            what = _few(further) if further is not True else f"layers of the ranks {sorted(ranks)}"
            reason = "verl makes no such adapter itself, and its own file does not say how this one is scaled"
            raise ExportError(f"{checkpoint.folder} has an adapter with {what}: {reason}; {put}")
        found = {name.partition(".lora_")[0].removeprefix(PEFT_PREFIX) for name in adapter}
        config = LoraConfig(
            r=lora["r"],
            lora_alpha=lora["lora_alpha"],
            target_modules=_targets(found, modules),
            task_type="CAUSAL_LM",
        )
    config.inference_mode = True
    return config


def _targets(found: set[str], modules: list[str]) -> list[str]:
    """The last parts of the adapted modules' names where they mean no other module, else the whole names."""
    last = sorted({name.rpartition(".")[2] for name in found})
    meant = {name for name in modules if name.rpartition(".")[2] in last}
    return last if meant == found else sorted(found)


def _with_adapter(model: "PreTrainedModel", config: "LoraConfig", base: str | None) -> "PeftModel":
    from peft import get_peft_model

    with warnings.catch_warnings():
        # peft warns of tied modules; `fuse` keeps them apart.
        warnings.simplefilter("ignore")
        try:
            adapted = get_peft_model(model, config, adapter_name=PEFT_NAME, low_cpu_mem_usage=True)
        except (ValueError, TypeError, NotImplementedError) as error:
            raise ExportError(f"peft cannot put the adapter on this model: {error}") from error
    # get_peft_model names the folder from which the model's configuration came, and that folder holds no weights.
    # save_pretrained takes the model's own name where the adapter has none.
    adapted.peft_config[PEFT_NAME].base_model_name_or_path = base
    model.name_or_path = ""
    return adapted


def _adapter_names(adapted: Any, expected: Specs) -> frozenset[str]:
    from peft import get_peft_model_state_dict

    kept = get_peft_model_state_dict(adapted, state_dict=dict(expected), save_embedding_layers=False)
    own = {id(spec) for spec in kept.values()}
    return frozenset(name for name, spec in expected.items() if id(spec) in own)
