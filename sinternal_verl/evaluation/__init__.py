"""The paper's evaluation suite, on Inspect: sets, tasks, judges, tables and comparisons.

``item``   one item of a set, as a task takes it
``judge``  what a judge is asked, and what it says
"""
