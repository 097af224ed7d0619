"""Reads sets, writes files for verl, and has the datasets by which verl reads them.

``readers``        rows of a file or of a hub's dataset, one after the other
``rows``           what a source gives, a row that cannot be read included
``contents``       what a file holds, by its first bytes; unpacked and decoded
``json_rows``      rows of JSON: lines, an array, or objects over many lines
``csv_rows``       records of CSV and TSV files
``hub``            names of the hub's datasets, and the parts that they name
``hub_parts``      fetches a part of a hub's dataset, and reads its rows
``adapter``        what the adapters of ``math`` and ``safety`` share
``truth``          ground truths: whether there is one, and whether it is whole
``math``           math sets: problem, ground truth, index
``safety``         safety sets: request, harmful or benign
``convert``        from a source's rows to verl's RL parquet
``mix``            one file from parts of others, drawn with a seed
``contamination``  finds prompts that stand in an evaluation file
``words``          the words by which two texts are compared
``seen``           finds prompts that came before
``findings``       counts bad rows, shows the first few and lists all in a file
``schema``         the schema of our RL files, and their writer
``sft``            a dataset for verl's SFT main, with the loss over the whole completion
``turn``           an SFT row as tokens: the prompt of inference, and what the model is to write
``opening``        what is left to write of a turn after what the chat template has written of it
``answers``        whole answers of a set such as STAR-1, for the paper's baselines
``fraction``       a fraction of a set, drawn with a seed
``specification``  the safety rules that a verifier applies, read from a file
``template``       the prompt that expert and model read to verify, and the completion the model learns
``rendering``      how a row of a verification build becomes prompt and completion
``dataset``        datasets that render the rows of a verification build when verl loads them
"""
