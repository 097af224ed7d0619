"""Reads and writes TransferQueue, where verl keeps the rollouts of a step."""

from typing import Any

import transfer_queue as tq
from transfer_queue import KVBatchMeta
from verl.utils import tensordict_utils as tu

from sinternal_verl.training.rollouts import Row, make_row
from sinternal_verl.training.wire import is_ours


def read_rows(batch: KVBatchMeta, source_key: str, longest: int) -> list[Row]:
    """The rows of a batch in the batch's order, without padding.

    Args:
        batch: keys and tags of a training batch.
        source_key: column of the data source, ``data.reward_fn_key``.
        longest: tokens a response may have, ``data.max_response_length``.
    """
    real = [(key, tag) for key, tag in zip(batch.keys, batch.tags, strict=True) if not tag.get("is_padding", False)]
    if not real:
        return []
    keys = [key for key, _ in real]
    data = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=["extra_fields", source_key])
    infos = [dict((fields or {}).get("reward_extra_info") or {}) for fields in list(data["extra_fields"])]
    if all(is_ours(info) for info in infos):
        rewards = [info["score"] for info in infos]
    else:
        # verl writes a reward to the response's last token. A "score" of a user's function need not be the reward:
        # verl's dapo manager adds a penalty to it.
        scores = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=["rm_scores"])
        rewards = [float(row.sum()) for row in scores["rm_scores"].unbind()]
    return [
        make_row(key, source, reward, info, length=tag["response_len"], longest=longest)
        for (key, tag), source, reward, info in zip(real, list(data[source_key]), rewards, infos, strict=True)
    ]


def write_fields(batch: KVBatchMeta, keys: list[str], **fields: Any) -> None:
    """Set fields of some rows; each field is a tensor or array with one value for each key."""
    tq.kv_batch_put(keys=keys, partition_id=batch.partition_id, fields=tu.get_tensordict(fields))


def read_advantages(keys: list[str], partition: str) -> dict[str, float]:
    """By key, the mean advantage over the tokens of each response; every key must have advantages."""
    if not keys:
        return {}
    data = tq.kv_batch_get(keys=keys, partition_id=partition, select_fields=["advantages", "response_mask"])
    pairs = zip(data["advantages"].unbind(), data["response_mask"].unbind(), strict=True)
    means = [((values * mask).sum() / mask.sum().clamp(min=1)).item() for values, mask in pairs]
    return dict(zip(keys, means, strict=True))
