r"""What a score is, and how one is made. Nothing here knows of training: a scorer runs in a reward
worker, a command line, a test or another trainer alike.

``score``       the value every scorer returns, and its outcomes
``response``    a response's final answer, and the last ``\boxed{…}`` in it
``latex``       the same answer written differently, made equal
``boxed_math``  strict boxed-answer matching in three modes
"""
