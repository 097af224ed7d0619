"""verl's load balancer in a process that imports nothing of verl.

It is a few dictionaries, and verl starts it last of all; its process would import verl as a whole to find the
class, which takes as long as a rollout server's (verl 0.9.1). Pickled by value the class brings itself along.
"""

from ray import cloudpickle
from verl.workers.rollout import router


def send_the_balancer_by_value() -> None:
    """Pickle what `verl.workers.rollout.router` defines by value in this process; safe to call twice."""
    cloudpickle.register_pickle_by_value(router)
