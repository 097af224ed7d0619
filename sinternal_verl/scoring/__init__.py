r"""What a score is, and how one is made. Nothing here knows of training: a scorer runs in a reward
worker, a command line, a test or another trainer alike.

``score``       what a scorer gets and returns, and its outcomes: read it first
``registry``    scorers by name, and which data source goes to which
``function``    a plain verl reward function as a scorer
``response``    a response's final answer, and the last ``\boxed{…}`` in it
``latex``       the same answer written differently, made equal
``symbolic``    Math-Verify in a process with a deadline
``boxed_math``  strict boxed-answer matching in three modes
"""
