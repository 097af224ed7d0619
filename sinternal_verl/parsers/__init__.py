"""The words of the commands of `sinternal-verl`. A parser names its command's function, and does not import it.

``common``      what all commands have in common: help with an example, overrides, errors
``keys``        the keys of a recipe, for a command's help
``data``        data files
``evaluation``  the evaluation suite
``plan``        the plan of a run
``runs``        doctor, report, score, guard, verify, export, cluster, and the demos
"""
