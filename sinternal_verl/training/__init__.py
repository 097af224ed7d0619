"""What touches a training run from inside verl's own mains.

``watchdog``  ends a run whose worker or rollout engine died, and names the cause last
"""
