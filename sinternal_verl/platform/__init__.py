"""verl and vLLM on a machine without an accelerator.

``cpu``      the platform verl selects when no other one is available; its activation sets the rest
``shims``    the two places where verl and vLLM have no hook: the process group and the wheel's name
``vllm_cpu`` vLLM's entry point, run in every vLLM process
"""
