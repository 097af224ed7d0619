"""Pickles some of verl's classes by value, so that the processes they run in import less.

Ray pickles an actor's class by its name. The actor's process then imports the class's module, with all that this
module imports: all of verl for the load balancer, which holds a few dictionaries, and all trainers for an agent
loop worker (verl 0.9.1). These two start last of all. A class that is pickled by value carries what it uses, and
the process imports nothing else.
"""

import importlib

from ray import cloudpickle

MODULES = (
    "verl.workers.rollout.router",
    "verl.trainer.ppo.v1.agent_loop_tq",
    "sinternal_verl.training.agent_workers",
)


def send_by_value() -> None:
    """Make this process pickle by value whatever `MODULES` define; safe to call twice."""
    for module in MODULES:
        # Imported here, because verl's trainers import ours, and ours import this module.
        cloudpickle.register_pickle_by_value(importlib.import_module(module))
