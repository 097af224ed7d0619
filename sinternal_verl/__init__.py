"""sinternal_verl: the SInternal method (ICML 2026) as a plugin for veRL.

Nothing is imported here: ``import sinternal_verl`` must stay free, because verl loads
``sinternal_verl.plugin`` in every one of its processes.
"""

__version__ = "0.1.0"
