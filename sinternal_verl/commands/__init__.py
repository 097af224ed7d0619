"""The commands of `sinternal-verl`, one file each: what they print, and their exit codes.

``doctor``         check a configuration
``configuration``  print one, with all its keys
``data``           make data files, mix them, check them
``score``          score the responses in a file
``results``        the file that `score` writes and continues
``guard``          serve the guard
``running_guard``  the guard's replicas for a command that is no training run
``verify``         verification data, and how well a model verifies
``export``         a checkpoint as a Hugging Face folder
``cluster``        wait for the nodes of a Ray cluster
"""
