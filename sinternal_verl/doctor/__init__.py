"""Every check of a configuration, made before a model loads: by `sinternal-verl doctor` and by the
start of each run alike.

``problem``       what a check returns (a problem or a note), and the report
``installation``  is the plugin active in this environment?
``versions``      are Python, CUDA and the packages those that were tried?
``values``        are numbers numbers, and names known?
``keys``          missing values, dead legacy keys
``imports``       can the user's own code be imported?
``scorers``       can every sample be scored?
``guard``         can the guard be had, and is it one?
``reward``        is the reward function or manager importable?
``data``          are the files readable, of the right schema, and enough?
``rows``          does every row of a file have a scorer, and what it needs?
``lengths``       do the rows of an SFT dataset fit?
``model``         is the model there, and do the lengths fit it?
``pretrained``    what a model's own files say, without the network
``flash_attn``    is flash-attn there, where it is asked for?
``agent_loop``    can the agent loop render this model's prompts?
``tokenizer``     does the tokenizer do as its own file says?
``batches``       do the batch sizes divide?
``resources``     are there enough GPUs, with the guard's share, here or on an existing Ray cluster?
``machine``       the cards and the memory of this machine
``memory``        what a run needs of each card and of the host, reckoned
``fits``          do the cards and the host have that?
``placement``     which GPUs train, which are the guard's, and the words for another machine
``checkpoints``   does the checkpoint folder belong to this configuration?
``user_checks``   does it pass the user's own checks?
``checks``        the list of all of them, for verl's GRPO and SFT mains
``callback``      the Hydra callback of our recipes, which runs the list at the start of a run
"""
