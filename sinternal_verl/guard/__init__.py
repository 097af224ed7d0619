"""The guard model: Qwen3Guard-Gen as a judge of answers.

``content``   text of the policy that cannot leave its place in the guard's prompt
``template``  the guard's own chat template around it, as token ids
``verdict``   what the guard generated, read only when it is exactly one answer
"""
