"""Classes of verl that bring themselves along to the processes they run in.

Ray pickles an actor's class by its name, and the process imports the class's module to find it, with all that
module and its packages import (verl 0.9.1): all of verl for the load balancer, which is a few dictionaries, and
all of the trainers for an agent loop worker. These two start last of all. Pickled by value a class takes with it
what it uses, and nothing else is imported.
"""

import importlib

from ray import cloudpickle

MODULES = ("verl.workers.rollout.router", "verl.trainer.ppo.v1.agent_loop_tq")


def send_by_value() -> None:
    """Pickle what `MODULES` define by value in this process; safe to call twice."""
    for module in MODULES:
        # Imported here: verl's import of its trainers imports ours, which imports this.
        cloudpickle.register_pickle_by_value(importlib.import_module(module))
