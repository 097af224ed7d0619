"""Small models and data for the demo and the tests. They are made from a seed, so that nothing has to be downloaded.

``policy_model``  a Qwen2 policy of half a million parameters with an R1-style chat template
``guard_model``   a guard of a fifth of that, with a template of Qwen3Guard's structure
``arithmetic``    additions with a carry: prompts, worked thoughts, and the parquet files that verl reads
``lighthouse``    an invented place with rules: requests, answers, and the verdicts that the guard learns
``expert``        a server with an expert that knows these rules, with its specification and prompt
"""
