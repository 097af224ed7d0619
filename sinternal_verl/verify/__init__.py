"""Stage 1 of SInternal: data for a model that learns to verify the safety of its own answers.

``settings``  what a build is told, and what is wrong with it
``requests``  the requests to be answered
``build``     what a build asks for: answers, then critiques
``writer``    a model that writes: behind an endpoint, or in this process
``fill``      many requests at a time, none of them twice
``store``     every reply as it arrives, by its content
``select``    the paper's selection, seeded, as a file for verl's SFT
``report``    what became of it, and the guard's opinion beside the expert's
``evaluate``  a model's verdicts on its own answers, held against the expert's
"""
