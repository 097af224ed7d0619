"""A run as one page: curves, what went wrong, and the rollouts behind a point of a curve.

``find``      which files a run has left
``lines``     lines of JSON, whatever wrote them
``values``    a value of JSON as a number, a name or a text
``metrics``   metrics files as one course of steps
``dumps``     the files of rollouts
``rollouts``  the dumps of a run as columns, with texts of a sample
``sample``    which groups of rollouts a page has the texts of
``lacks``     what a run left nothing of, in words
``read``      reads a run
``run``       what was read of a run
``view``      what a page shows of a run, and in which words
"""
