"""`sinternal-verl demo`: a policy and its guard made, taught and used on this machine's CPU, from nothing.

``settings``  what verl's mains are told
``measure``   what the exported model answers, by transformers and the world's rules
``run``       the demo from its first command to its table
"""
