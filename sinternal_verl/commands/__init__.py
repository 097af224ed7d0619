"""The commands of `sinternal-verl`: what they print, and their exit codes.

``doctor``         checks a configuration
``plan``           reckons what a run needs
``process``        how a command ends with its user, or with the reader of its output
``messages``       what a command says when it cannot begin
``configuration``  prints one, with all its keys
``data``           makes, mixes and checks data files
``sets``           makes validation files and attacks of evaluation sets
``report``         shows runs as one page
``score``          scores the responses in a file
``results``        the file that `score` writes and continues
``guard``          serves the guard
``running_guard``  starts the guard's replicas for a command that is no training run
``verify``         makes verification data, and measures how well a model verifies
``eval``           the evaluation suite, runs side by side, logs judged again
``export``         writes a checkpoint as a Hugging Face folder
``cluster``        waits for the nodes of a Ray cluster
"""
