"""The rules by which a run is judged.

``rewards``   what the policy earns: refusals, rewards, held-out rows, groups, lengths
``failures``  responses without a score, that never came, or that are cut
``policy``    numbers of the update: entropy, gradients, the gap between rollout and trainer, losses
``progress``  time: a guard that holds up the step, and a run that has gone silent
"""

from sinternal_verl.report.rules import failures, policy, progress, rewards

RULES = (*rewards.RULES, *failures.RULES, *policy.RULES, *progress.RULES)
