"""Files in and out, and the datasets that verl reads them by.

``readers``        rows of a file or of a hub's dataset, one after the other
``adapter``        what the adapters below share
``math``           math sets: problem, ground truth, index
``safety``         safety sets: request, harmful or benign
``convert``        from a source's rows to verl's RL parquet
``mix``            one file from parts of others, by a seed
``contamination``  which prompts stand in an evaluation file
``seen``           which prompts came before
``findings``       what was wrong with a million rows, a few of them shown
``schema``         the schema of our RL files, and their writer
``sft``            a dataset for verl's SFT main, the loss over the whole completion
``answers``        whole answers of a set such as STAR-1: the paper's baselines
``fraction``       a fraction of a set, by a seed
``specification``  the rules that answers are held against, one file each
``template``       what a verifier reads, expert and model alike, and what it is to write
``dataset``        rows of a verification build, rendered as they are read
"""
