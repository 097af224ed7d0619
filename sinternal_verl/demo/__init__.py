"""`sinternal-verl demo` and `sinternal-verl demo-verify`: the method's two stages with small models, on this machine's
CPU.

``settings``      the overrides for verl's mains and for `sinternal-verl verify`
``policy``        what both demos begin with: folder, data, and the policy's first SFT
``running``       runs a demo in its folder, and keeps and shows its result
``measure``       measures the exported model's answers by the world's rules, with transformers alone
``run``           stage 2, GRPO with a guard, from its first command to its table
``commands``      runs commands as a user types them, and prints and keeps each
``verified``      what two evaluations of a verifier found
``verification``  stage 1, verification, from its first command to its table
"""
