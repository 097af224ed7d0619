"""Every check of a configuration, made before a model loads. `sinternal-verl doctor` and the start of each
run make the same checks.

``problem``       what a check returns (a problem or a note), and the report
``installation``  is the plugin active in this environment?
``versions``      were this Python, this CUDA and these packages tried?
``values``        are numbers valid, and are names known to verl?
``keys``          are values missing, and are keys set that verl ignores?
``settings``      are keys under ``sinternal`` ones that something reads, and are times possible?
``imports``       can the user's own code be imported?
``scorers``       can every sample be scored?
``guard``         can the guard start or be reached, and is its model a guard?
``reward``        can the reward function and the reward manager be imported?
``data``          can the files be read, and do they have the right schema and enough rows?
``verification``  does the dataset read what ``data.verification`` asks for, and are the values possible?
``rows``          does every row of a file have a scorer, and what the scorer needs?
``lengths``       do the rows of an SFT dataset fit the chat template and ``data.max_length``?
``loss``          shows what the loss covers of the first row
``model``         is the model there, and do the lengths fit it?
``pretrained``    reads a model's own files, without the network
``hub``           does the hub have a model that is not here?
``flash_attn``    is flash-attn installed where it is asked for?
``model_attention``  does the model take the attention that is asked for?
``agent_loop``    can the agent loop render this model's prompts?
``tokenizer``     does the tokenizer agree with its own ``tokenizer.json``?
``batches``       do the batch sizes divide?
``resources``     are there enough GPUs, here or on an existing Ray cluster, also for the guard?
``machine``       the cards and the memory of this machine
``memory``        calculates what a run needs of each card and of the host
``fits``          do the cards and the host have that memory?
``placement``     which GPUs train and which are the guard's, and what to type on another machine
``checkpoints``   does the checkpoint folder belong to this configuration?
``tracking``      can the backends of ``trainer.logger`` log?
``user_checks``   does the configuration pass the user's own checks?
``checks``        the list of all of them, for verl's GRPO and SFT mains
``callback``      the Hydra callback of our recipes, which runs the list at the start of a run
"""
