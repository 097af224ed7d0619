"""Stage 1 of SInternal: data for a model that learns to verify the safety of its own answers.

``settings``  the settings of a build
``shapes``    values in the place of settings, and the other way round
``problems``  every fault in them
``parameters`` those in what is sent with every request
``requests``  reads the prompts that are to be answered
``build``     what a build asks for: answers, then critiques
``writer``    a model that writes: its settings, and what can go wrong
``endpoint_writer``, ``local_writer``   a model behind a server, or in this process
``outcome``   what a server's answer means
``patience``  waits while a server asks to wait
``rejected``  tells requests that can never succeed from settings under which none can
``unreadable`` tells answers that are none of single requests from a server all of whose answers are none
``budget``    what a model costs, and a budget that is kept
``reading``   the critique in a reply, and replies that cannot be read
``fill``      sends many requests at a time, and none of them twice
``turns``     which request is next: none that is stored, or that another process asks for
``store``     keeps every reply as it arrives, under a key made of its request
``claims``    which process asks for which reply
``owner``     processes, and the file of the one that has a store where locks fail
``filesystem`` what a file system can do for a store
``origin``    what decides a model's replies, of which keys are made
``build_record`` what the build in a folder is made of
``select``    the paper's selection, seeded, as a file for verl's SFT
``parts``     merges the parts of a build that several tasks have made
``report``    what became of every prompt, and the guard's verdicts beside the expert's
``account``   what became of every answer of an evaluation
``estimate``  what a command will ask for and may cost, to be confirmed
``probe``     asks the expert once before anything else
``evaluate``  compares a model's verdicts on its own answers with the expert's
"""
