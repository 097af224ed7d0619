"""`sinternal-verl demo`: makes a small policy and its guard, and trains both on this machine's CPU.

``settings``  the overrides for verl's mains
``measure``   measures the exported model's answers by the world's rules, with transformers alone
``run``       the demo from its first command to its table
"""
