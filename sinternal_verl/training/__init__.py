"""What we add to verl's training loop, in the order in which one sample meets it (docs/one_sample.md).

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
``source_curves``        the metrics of a step for each data source
``metrics_file``         one file of metrics for all starts of a run
``watchdog``             ends a run whose worker died
``loader_state``         checks that a resume has as many data loader workers as its checkpoint
``sft_resume``           has the SFT main resume with its next epoch
"""
