"""The same scorers under TRL: GRPO on a mix of math and safety that `sinternal-verl data mix` wrote.

    pip install trl==1.16.0      # in an environment of its own: verl 0.9.1 does not run beside TRL 1.16
    sinternal-verl guard serve sinternal.guard.engine.model=Qwen/Qwen3Guard-Gen-0.6B &
    python examples/trl_grpo.py --model /abs/model --data mix.parquet \
      --guard Qwen/Qwen3Guard-Gen-0.6B --url http://127.0.0.1:8000/v1
"""

import argparse

import torch
from datasets import load_dataset

from sinternal_verl.scoring.trl import TRLReward


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--guard", required=True, help="its name at the server; its tokenizer renders the prompts")
    parser.add_argument("--url", required=True)
    parser.add_argument("--out", default="outputs/trl")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--longest", type=int, default=1024, help="tokens of a response")
    arguments = parser.parse_args()

    from trl import GRPOConfig, GRPOTrainer  # here, because nothing else of this project needs TRL

    guard = {"backend": "openai_endpoint", "url": arguments.url, "engine": {"model": arguments.guard}}
    scorers = {"safety": {"sources": ["safety/*"], "guard": guard}, "boxed_math": {"sources": ["*"]}}
    # With the tokenizer a reply is read from its tokens, also where TRL has parsed its thought away.
    reward = TRLReward(scorers, tokenizer=arguments.model)
    settings = GRPOConfig(
        output_dir=arguments.out,
        max_steps=arguments.steps,
        logging_steps=1,
        max_completion_length=arguments.longest,
        num_generations=8,
        per_device_train_batch_size=8,
        # As in the paper: no KL term, and advantages divided by the group's standard deviation.
        beta=0.0,
        scale_rewards="group",
        bf16=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
        seed=1,
    )
    rows = load_dataset("parquet", data_files=arguments.data, split="train")
    GRPOTrainer(model=arguments.model, reward_funcs=reward, args=settings, train_dataset=rows).train()


if __name__ == "__main__":
    main()
