"""Keeps the head of a model whole where verl's fused kernels read its weights.

verl's kernels take ``lm_head.weight`` without calling ``lm_head``. Under FSDP2 verl shards the head by itself where the
model does not tie it to the embedding, as no model of the paper does, and only a call gathers such a module. The run
then ended at its first log-probabilities: ``aten.mm.default got mixed torch.Tensor and DTensor``. Left to the root, the
head is gathered with it at the beginning of each forward pass. (verl 0.9.1, ``utils/fsdp_utils`` and
``models/transformers/dense_common``; the module can go when the kernels call the head.)
"""

import functools
from collections.abc import Callable

from torch import nn
from verl.utils import fsdp_utils

Select = Callable[[nn.Module, list[str]], list[nn.Module]]


def leaves_head_to_root(select: Select) -> Select:
    """``select`` chooses the modules that FSDP2 shards by themselves."""

    @functools.wraps(select)
    def select_without_head(model: nn.Module, layers: list[str]) -> list[nn.Module]:
        targets = select(model, layers)
        if not getattr(model, "_verl_fused_kernels_backend", None):
            return targets
        head = model.get_output_embeddings()
        return [module for module in targets if module is not head]

    return select_without_head


fsdp_utils._select_fsdp2_wrap_targets = leaves_head_to_root(fsdp_utils._select_fsdp2_wrap_targets)
