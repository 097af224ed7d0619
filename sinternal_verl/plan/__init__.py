"""A run reckoned before it starts: memory, time by phase, disk and cost, from sizes, a card and stated assumptions.

``plan``        a plan of a configuration
``setup``       what it is made of: the configuration, the card, sizes, and where each process runs
``cards``       cards by name, or by their figures
``factors``     what is assumed, with its range and its source
``sizes``       sizes of models, also of those that are not here
``work``        rows and lengths, from files or assumed
``generation``  how long vLLM generates
``training``    how long a pass of training takes
``guarding``    how long the guard judges, and how many replicas keep up
``storage``     what is written to disk
``grpo``        a step and a run of GRPO
``grpo_lines``  their numbers with their formulas
``sft``         a step and a run of SFT, and their numbers
``figures``     numbers with ranges
``growth``      the run on more nodes
``fitting``     what does not fit, and which change does
``render``      a plan as text, JSON and CSV
"""
