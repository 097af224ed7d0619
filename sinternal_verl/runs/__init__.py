"""A run of any of verl's mains, from its start to its end.

``launch``   runs one of verl's mains as a child process and shows its steps on one line
``curves``   reads and draws the metrics of a run
``record``   what a run writes about itself into its checkpoint folder
``identity`` which configuration a checkpoint folder belongs to
``digests``  what the paths in a configuration stand for
``secrets``  keeps secrets out of what a run writes about itself
``tracking`` where tensorboard, wandb and mlflow write, and how a resumed run goes on with its curves
``command``  the command line that the user typed
``start``    what a run prints while it starts
``ending``   what a run prints when it ends
``signals``  ends a run on a signal, with the same closing lines
"""
