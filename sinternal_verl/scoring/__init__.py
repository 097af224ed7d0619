r"""What a score is, and how one is made. Nothing here knows of training: a scorer runs in a reward
worker, a command line, a test or another trainer alike.

``score``         what a scorer gets and returns, and its outcomes: read it first
``registry``      scorers by name, and which data source goes to which
``run``           a sample's scorer, bounded in time, with a score on every path
``function``      a plain verl reward function as a scorer
``response``      a response's final answer, and the last ``\boxed{…}`` in it
``boxed_math``    strict boxed-answer matching in three modes
``latex``         the same answer written differently, made equal
``symbolic``      Math-Verify in a process with a deadline
``safety``        the guard's verdict as a reward
``critique``      a critique and its verdict, parsed by one strict rule
``verification``  the right verdict on an answer as a reward
``trl``           the scorers as a reward function of TRL
"""
