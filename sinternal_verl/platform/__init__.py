"""verl and vLLM on a machine without an accelerator, and in more than one version.

``cpu``       the platform verl selects when no other one is available; its activation sets the rest
``shims``     the two places where verl and vLLM have no hook: the process group and the wheel's name
``compat``    what differs between the tested sets of versions
``collector`` Python's collector, paused while a worker starts
``vllm_cpu``  vLLM's entry point, run in every vLLM process
"""
