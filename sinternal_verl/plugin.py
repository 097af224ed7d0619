"""verl's entry point (group ``verl.plugins``).

verl *imports* this module at the end of ``import verl`` in every process of a run, and calls
nothing in it; an exception here is logged by verl at DEBUG, that is, swallowed. So the module
does little: it registers, and everything heavy waits until verl asks for it by name.
"""

from sinternal_verl.platform.cpu import register_cpu_platform

register_cpu_platform()
