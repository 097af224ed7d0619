"""sinternal_verl: the SInternal method (ICML 2026) as a plugin for veRL.

Nothing is imported here: ``import sinternal_verl`` must cost nothing, because verl loads
``sinternal_verl.plugin`` in each of its processes.
"""

__version__ = "0.1.0"
