"""Stage 1 of SInternal: data for a model that learns to verify the safety of its own answers.

``settings``  the settings of a build, and every fault in them
``requests``  reads the prompts that are to be answered
``build``     what a build asks for: answers, then critiques
``writer``    a model that writes, behind an endpoint or in this process
``fill``      sends many requests at a time, and none of them twice
``turns``     which request is next: none that is stored, or that another process asks for
``store``     keeps every reply as it arrives, under a key made of its request
``claims``    which process asks for which reply
``owner``     processes, and the file of the one that has a store where locks fail
``filesystem`` what a file system can do for a store
``origin``    what decides a model's replies, of which keys are made
``build_record`` what the build in a folder is made of
``select``    the paper's selection, seeded, as a file for verl's SFT
``report``    what became of every prompt, and the guard's verdicts beside the expert's
``evaluate``  compares a model's verdicts on its own answers with the expert's
"""
