r"""What a score is, and how one is made. Nothing here depends on training: a scorer runs the same in a
reward worker, a command, a test or another trainer.

``score``         what a scorer gets and returns, and its outcomes; read it first
``registry``      scorers by name, and which data source each of them scores
``run``           runs a sample's scorer within a time limit; every sample gets a score
``plain``         numbers and JSON values of whatever a scorer returns
``function``      a plain verl reward function as a scorer
``response``      a response's final answer, and the last ``\boxed{…}`` in it
``boxed_math``    strict boxed-answer matching in three modes
``latex``         decides whether two answers are the same, written differently
``surroundings``  what stands around an answer and is no part of it
``lowest_terms``  writes numbers that stand alone in lowest terms
``tex``           reads an answer as TeX does, into tokens and arguments
``tex_tokens``    cuts an answer into TeX's tokens
``tex_frames``    what is open while an answer is read
``tex_spelling``  what a command with its arguments becomes
``symbols``       one character for each symbol, by LaTeX's names and by Unicode
``units``         the units that may follow a value
``symbolic``      Math-Verify in processes with a deadline
``safety``        the guard's verdict as a reward
``critique``      a critique and its verdict, parsed by one strict rule
``verification``  rewards the right verdict on an answer
``open_thoughts`` says when most responses never end their thought
``trl``           the scorers as a reward function of TRL
"""
