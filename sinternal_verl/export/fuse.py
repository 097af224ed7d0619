"""Makes the finished model's parameters, one at a time: from the shards, with a LoRA adapter added by peft layer by
layer in float32.

Of tied parameters (embedding and head) an adapter, or the training, may change one and not the other. Then they are
no longer tied, and both are kept.
"""

from typing import Any

import torch

from sinternal_verl.export.base import BaseWeights
from sinternal_verl.export.errors import ExportError
from sinternal_verl.export.finite import check_finite, check_fits
from sinternal_verl.export.shards import Shards
from sinternal_verl.export.skeleton import PEFT_NAME, PEFT_PREFIX, Skeleton, plain_name


class Fused:
    """The parameters of the finished model.

    Attributes:
        dtype: of the result's real numbers.
        untied: aliases that are tied in the configuration and differ.
        specs: the finished model's parameters, without data.
    """

    def __init__(self, shards: Shards, skeleton: Skeleton, base: BaseWeights | None, dtype: torch.dtype) -> None:
        """
        Args:
            base: gives the weights that the shards do not hold.

        Raises:
            ExportError: neither the shards nor the base have a parameter, or the adapter is of a kind that cannot be
                added to the weights.
        """
        self._shards, self._skeleton, self._base, self.dtype = shards, skeleton, base, dtype
        self._layer: dict[str, torch.Tensor] = {}
        self._wrapped = {name: self._wrapper(name) for name in skeleton.specs} if skeleton.adapted else {}
        self.untied = frozenset(alias for alias, kept in skeleton.tied.items() if self._differ(alias, kept))
        kept = {name: spec for name, spec in skeleton.specs.items() if name not in skeleton.tied or name in self.untied}
        self.specs = {
            name: torch.empty_like(spec, dtype=dtype if spec.is_floating_point() else None)
            for name, spec in kept.items()
        }

    @property
    def adapted(self) -> list[str]:
        """Parameters that the adapter changes."""
        return [name for name, wrapper in self._wrapped.items() if wrapper and name in self.specs]

    @property
    def largest_layer_bytes(self) -> int:
        """Of one adapted layer in float32; 0 without an adapter."""
        return max((4 * self._skeleton.specs[name].numel() for name in self.adapted), default=0)

    def read(self, name: str) -> torch.Tensor:
        """One parameter, in memory of its own and in the result's dtype.

        Raises:
            ExportError: it holds NaN or infinity, or does not fit the dtype.
        """
        if wrapper := self._wrapped.get(name):
            if name not in self._layer:
                self._layer = {}
                self._layer = self._merged(*wrapper)
            # Weight and bias come one after the other; what was read is kept no longer.
            made = self._layer.pop(name)
            check_finite(name, made)
            return _as(self.dtype, name, made)
        expected = PEFT_PREFIX + name if self._skeleton.adapted else name
        return self._value(expected, self.dtype)

    def equals(self, base: BaseWeights) -> bool:
        """Whether every parameter equals the base model's. It stops at the first that does not."""
        changed = self.adapted
        small = sorted(self.specs.keys() - set(changed), key=lambda name: self.specs[name].numel())
        return not self.untied and all(name in base and self._equals(name, base) for name in [*changed, *small])

    def _equals(self, name: str, base: BaseWeights) -> bool:
        return self.specs[name].shape == (there := base.read(name)).shape and torch.equal(
            self.read(name), there.to(self.specs[name].dtype)
        )

    def _differ(self, alias: str, kept: str) -> bool:
        if self._wrapped.get(alias) or self._wrapped.get(kept):
            return not torch.equal(self.read(alias), self.read(kept))
        names = [PEFT_PREFIX + name if self._skeleton.adapted else name for name in (alias, kept)]
        return all(name in self._shards.specs for name in names) and not self._shards.equal(*names)

    def _value(self, name: str, dtype: torch.dtype) -> torch.Tensor:
        """A parameter under the name that peft gives it, from the shards or the base."""
        held = self._skeleton.kept_name(name, self._shards.specs)
        if held is not None:
            return self._shards.read(held, dtype)
        plain, tied = plain_name(name), self._skeleton.tied
        names = [plain, tied.get(plain, plain), *(alias for alias, kept in tied.items() if kept == plain)]
        there = next((each for each in names if self._base is not None and each in self._base), None)
        if there is None:
            raise ExportError(f"neither the checkpoint nor the base model holds {plain}: give another one with --base")
        value, wanted = self._base.read(there), self._skeleton.expected[name].shape
        if value.shape != wanted:
            reason = f"{plain} is {tuple(value.shape)} there, and {tuple(wanted)} in the checkpoint"
            raise ExportError(f"the base model is not the one that this run was started from: {reason}")
        check_finite(f"{plain} of the base model", value)
        return _as(dtype, plain, value) if value.is_floating_point() else value.clone()

    def _wrapper(self, name: str) -> tuple[str, Any] | None:
        """The outermost module of peft around a parameter, with its name; None where there is none."""
        from peft.tuners.lora import LoraLayer
        from peft.utils.other import AuxiliaryTrainingWrapper, ModulesToSaveWrapper

        module, path = self._skeleton.adapted.base_model.model, []
        for part in name.split(".")[:-1]:
            module = getattr(module, part)
            path.append(part)
            if isinstance(module, LoraLayer | ModulesToSaveWrapper):
                return ".".join(path), module
            if isinstance(module, AuxiliaryTrainingWrapper):
                reason = f"{type(module).__name__} of peft stands at {'.'.join(path)}"
                raise ExportError(f"{reason}, which cannot be added to the weights here: export it with --adapter")
        return None

    def _merged(self, path: str, wrapper: Any) -> dict[str, torch.Tensor]:
        """The parameters of one adapted module, by their plain names."""
        from peft.utils.other import ModulesToSaveWrapper

        before = PEFT_PREFIX + path + "."
        if isinstance(wrapper, ModulesToSaveWrapper):
            before += f"modules_to_save.{PEFT_NAME}."
            names = [name for name in self._skeleton.expected if name.startswith(before)]
            found = {name.removeprefix(before): self._value(name, torch.float32) for name in names}
        else:
            found = self._added(wrapper, before)
        return {f"{path}.{name}": value for name, value in found.items()}

    @torch.no_grad()
    def _added(self, wrapper: Any, before: str) -> dict[str, torch.Tensor]:
        from peft.tuners.lora import LoraLayer

        names = [name for name in self._skeleton.expected if name.startswith(before)]
        values = {name.removeprefix(before): self._value(name, torch.float32) for name in names}
        wrapper.load_state_dict(values, assign=True)
        del values
        for module in wrapper.modules():
            if isinstance(module, LoraLayer):
                try:
                    module.merge()
                except (ValueError, NotImplementedError) as error:
                    raise ExportError(f"peft cannot add the adapter to {before[:-1]}: {error}") from error
        merged = {name: value.detach() for name, value in wrapper.get_base_layer().state_dict().items()}
        # The module goes back to what it was: it may be asked again, and the model is not to grow with each layer.
        for module in wrapper.modules():
            if isinstance(module, LoraLayer):
                module.merged_adapters.clear()
                module._caches.clear()
        wrapper.to("meta")
        return merged


def _as(dtype: torch.dtype, name: str, value: torch.Tensor) -> torch.Tensor:
    made = value.to(dtype)
    check_fits(name, made, value.dtype)
    return made


def adapter_of(shards: Shards, skeleton: Skeleton, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The parameters of the adapter alone, under the names that peft gives."""
    return {name: shards.read(name, dtype) for name in skeleton.expected if name in skeleton.adapter}


def check_learned(shards: Shards, skeleton: Skeleton) -> None:
    """
    Raises:
        ExportError: the adapter is still what it was before the training: its products are zero, and it has no more.
    """
    products = [name for name in skeleton.adapter if ".lora_B." in name or ".lora_embedding_A." in name]
    others = [name for name in skeleton.adapter if ".lora_" not in name or ".lora_magnitude_vector." in name]
    if not others and not any(shards.read(name).count_nonzero() for name in products):
        raise ExportError("the adapter is still zero: nothing was learned, or this is another checkpoint")
