"""A rollout as verl's agent loop hands it to a reward worker."""

import numpy as np
import torch
from verl import DataProto


def rollout(tokenizer, response: str, truth: str | None, source: str, prompt: str = "47+38?") -> DataProto:
    """One row: the response with its end token, padded by three."""
    ids = torch.tensor([[*tokenizer.encode(response, add_special_tokens=False), tokenizer.eos_token_id]])
    padded = torch.cat([ids, torch.full((1, 3), tokenizer.pad_token_id)], dim=1)
    mask = torch.cat([torch.ones(1, 2 + ids.shape[1]), torch.zeros(1, 3)], dim=1).long()
    messages = np.empty(1, dtype=object)
    messages[0] = [{"role": "user", "content": prompt}]
    return DataProto.from_dict(
        tensors={"prompts": torch.zeros(1, 2, dtype=torch.long), "responses": padded, "attention_mask": mask},
        non_tensors={
            "raw_prompt": messages,
            "data_source": np.array([source], dtype=object),
            "reward_model": np.array([{"style": "rule", "ground_truth": truth}], dtype=object),
            "extra_info": np.array([{"index": "7"}], dtype=object),
            "__num_turns__": np.array([2]),
        },
    )
