"""Stage 1 of SInternal: data for a model that learns to verify the safety of its own answers.

``specification``  the rules answers are held against, one file each
``prompt``         what a verifier reads, expert and model alike, and what it is to write
``verdict``        a critique and its verdict, parsed by one strict rule
``settings``       what a build is told, and what is wrong with it
``prompts``        the requests to be answered
``writer``         a model that writes: behind an endpoint, or in this process
``store``          every reply as it arrives, by its content
``fill``           many requests at a time, none of them twice
``stages``         which requests a build makes: answers, then critiques
``select``         the paper's selection, seeded
``command``        `sinternal-verl verify …`
"""
