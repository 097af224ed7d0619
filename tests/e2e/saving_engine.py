"""Lets verl's own SFT trainer train on ranks without a GPU, and leave what it has trained beside each checkpoint.

`model.external_lib=saving_engine` registers the engine for the CPU platform. It saves by verl's checkpoint manager, and
gathers the whole weights in the same process group into ``whole.pt`` in the run's folder. A process that imports it has
no other engine.

As a program, `torchrun saving_engine.py RUNS.JSON`, it makes several runs with one start: RUNS.JSON holds the words of
each, and verl's trainer runs them one after the other.
"""

import json
import sys
from pathlib import Path

import torch
from torch.distributed.fsdp import FullyShardedDataParallel, MixedPrecision
from verl.utils.fsdp_utils import get_fsdp_full_state_dict, get_fsdp_wrap_policy
from verl.workers.engine.base import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead
from verl.workers.engine.fsdp.utils import get_sharding_strategy

from sinternal_verl.config import compose_config

WHOLE = "whole.pt"


@EngineRegistry.register(model_type="language_model", backend=["fsdp", "fsdp2"], device="cuda", vendor="cpu")
class SavingEngine(FSDPEngineWithLMHead):
    """verl's engine but for two of FSDP1's steps, which need a GPU. (verl 0.9.1, torch 2.11 and 2.13)"""

    def _build_fsdp_module(self, module):
        if self.engine_config.strategy == "fsdp2":
            return super()._build_fsdp_module(module)
        # verl gives sync_module_states=True besides, by which torch refuses modules on a CPU. Here every rank has read
        # the same weights, and has drawn the same adapter.
        self._autocast_dtype, self.scaler = torch.float32, None
        return FullyShardedDataParallel(
            module,
            auto_wrap_policy=get_fsdp_wrap_policy(
                module, self.engine_config.wrap_policy, is_lora=self.model_config.lora_rank > 0
            ),
            device_id=torch.device("cpu"),
            sharding_strategy=get_sharding_strategy(self.device_mesh, self.engine_config.reshard_after_forward),
            mixed_precision=MixedPrecision(torch.float32, torch.float32, torch.float32),
            device_mesh=self.device_mesh,
            use_orig_params=self.engine_config.use_orig_params,
        )

    def save_checkpoint(self, local_path, hdfs_path=None, global_step=0, max_ckpt_to_keep=None, **kwargs):
        # verl's engine moves FSDP1's weights to the device "cpu:cpu" before, and there is none.
        save = super() if self.engine_config.strategy == "fsdp2" else self.checkpoint_manager
        save.save_checkpoint(local_path, hdfs_path, global_step, max_ckpt_to_keep)
        # Offloading to the CPU would free what is there already.
        whole = get_fsdp_full_state_dict(self.module, offload_to_cpu=False)
        if self.rank == 0:
            torch.save(whole, Path(local_path).parent / WHOLE)
        torch.distributed.barrier()


def main() -> None:
    from verl.trainer.sft_trainer import SFTTrainer
    from verl.utils.distributed import destroy_global_process_group, initialize_global_process_group

    initialize_global_process_group()
    for words in json.loads(Path(sys.argv[1]).read_text()):
        torch.manual_seed(1)
        SFTTrainer(compose_config(words)).fit()
    destroy_global_process_group()


if __name__ == "__main__":
    main()
