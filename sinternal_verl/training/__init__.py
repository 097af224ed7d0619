"""What happens around verl's training loop, along the way of one sample (docs/one_sample.md).

``agent_loop``           a seed for each request
``tokens_only``          vLLM returns a rollout once, as tokens
``start_together``       the guard and the reward workers start beside verl's own parts
``by_value``             classes of verl that bring themselves along
``pools``                the trainer's GPUs, reserved first
``reward_workers``       reward workers that come back
``manager``              one sample in, one score out, on every path
``waiting``              the wait for rollouts, asked often and bounded
``queue``, ``rollouts``  the rollouts of a step, read from TransferQueue
``failures``             what rows without a score do to training
``trainer``              verl's trainers with the above
``source_curves``        the numbers of a step for each data source
``metrics_file``         one file over all starts of a run
``watchdog``             ends a run whose worker died
``loader_state``         goes on with as many workers as it had
``sft_resume``           the SFT main goes on with its next epoch
"""
