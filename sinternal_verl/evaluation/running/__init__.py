"""From the words of a call to the end of its tasks.

``requirement``    is Inspect here?
``models``         what a model may be on the command line
``folders``        what is missing in a model's folder
``vllm_command``   the command line of `vllm serve`, and who has which GPU
``serving``        serves models to this process by vLLM
``keeper``         runs a server for as long as whoever asked for it lives
``cast``           the models of a call: the one under test, and those of judges
``probe``          asks the servers of a call before anything starts
``asked``          the words of a call, and what is wrong with them
``plan``           which tasks run, and who judges each
``configuration``  what decides the figures of a folder
``progress``       the progress line
``suite``          runs the tasks of a plan
"""
