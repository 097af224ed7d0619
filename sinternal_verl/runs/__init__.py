"""A run from its start to its end, whichever of verl's mains it is.

``record``   what a run leaves in its checkpoint folder about itself
``command``  the command line the user typed
``start``    what a run shows while it starts
``ending``   what a run says when it ends
"""
