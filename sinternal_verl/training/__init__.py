"""What we add to verl's training loop, in the order in which one sample meets it (docs/one_sample.md).

``agent_loop``           gives each request a seed of its own
``tokens_only``          has vLLM return a rollout once, as tokens
``start_together``       starts the guard and the reward workers beside verl's own parts
``agent_workers``        agent loop workers that start before the rollout servers they ask
``by_value``             has Ray pickle some of verl's classes whole, so that processes import less
``light_handles``        handles of the rollout servers that are read without importing vLLM
``pools``                reserves the trainer's GPUs before the guard starts
``spread``               starts workers on all nodes
``reward_workers``       has Ray restart a reward worker that died
``fused_head``           keeps the head whole where fused kernels read it
``frozen``               ends a reward worker whose event loop stands still
``manager``              the reward manager: every sample gets exactly one score
``live_scores``          what a reward worker shows at Ray's metrics endpoint, for Prometheus
``wire``                 what of a score reaches verl, and what only the dumps
``waiting``              polls for rollouts often, and ends the run when nothing moves
``queue``, ``rollouts``  the rollouts of a step, read from TransferQueue
``failures``             what rows without a score do to training
``trainer``              verl's trainers with the above
``held_out``             a validation: the same curves and dumps, and a dead judge ends the run
``source_curves``        the metrics of a step for each data source
``guard_curves``         the metrics of a step for the guard
``dumps``                a line of JSON for each rollout, of training and of validation alike
``metrics_file``         one file of metrics for all starts of a run
``watchdog``             ends a run whose worker died
``loader_state``         checks that a resume has as many data loader workers as its checkpoint
``sft_resume``           has the SFT main resume with its next epoch
``user_files``           has verl load the user's files as modules with a name
"""
