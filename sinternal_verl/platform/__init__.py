"""Lets verl and vLLM run on a machine without an accelerator, and in both tested sets of versions.

``cpu``       the platform that verl selects when no other is available; its activation sets the rest
``shims``     the two places where verl has no hook: the process group and the wheel's name
``compat``    what differs between the tested sets of versions
``collector`` pauses Python's garbage collector while a process starts
``vllm_cpu``  vLLM's entry point, run in every vLLM process
``orphans``   ends vLLM's engine once the process that started it has died
"""
