"""The small world the demo and the tests live in: a tokenizer, a policy and problems, all made on
the spot from a seed, so that nothing has to be downloaded.

``model``       a Qwen2 policy of half a million parameters with an R1-style chat template
``arithmetic``  additions with a carry: prompts, worked thoughts, and the parquet files verl reads
"""
