"""Starts workers of one class as named actors, spread over the nodes as verl spreads its own. (verl 0.9.1)"""

from typing import Any

import ray


def start_spread(worker: Any, name: str, count: int, *arguments: Any) -> list[ray.actor.ActorHandle]:
    """Start ``count`` actors and return their handles. Ray ends an actor of which nobody holds a handle.

    Args:
        worker: a class that was made with ``ray.remote``.
        name: the actors' names, with ``{}`` for the number.
        arguments: each actor's.
    """
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) > 0]
    strategy = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    return [
        worker.options(
            name=name.format(number), scheduling_strategy=strategy(node_id=nodes[number % len(nodes)], soft=True)
        ).remote(*arguments)
        for number in range(count)
    ]
