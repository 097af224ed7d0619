"""A run as one page: curves, what went wrong, and the rollouts behind a point of a curve.

``run``   what was read of a run
``view``  what a page shows of a run, and in which words
"""
