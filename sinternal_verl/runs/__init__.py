"""A run from its start to its end, whichever of verl's mains it is.

``launch``   one of verl's mains as a child process, its steps as one line
``curves``   the metrics of a run, read and drawn
``record``   what a run leaves in its checkpoint folder about itself
``command``  the command line the user typed
``start``    what a run shows while it starts
``ending``   what a run says when it ends
``signals``  a run that is told to end says so, too
"""
