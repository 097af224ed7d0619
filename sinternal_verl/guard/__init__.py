"""The guard model: Qwen3Guard-Gen as a judge of answers.

``errors``    every exception of the guard
``content``   text of the policy that cannot leave its place in the guard's prompt
``template``  the guard's own chat template around it, as token ids
``verdict``   what the guard generated, read only when it is exactly one answer
``judge``     from a conversation to a judgement: one forward pass, or decoded
``engine``    vLLM's engine behind a judge
``mailbox``   many calls to a Ray actor in one
``replica``   judges as Ray actors, started by the trainer
``client``    a reward worker's way to them
``endpoint``  the same over HTTP
``backend``   the interface of the two, chosen by the configuration; scorers know only this
``http``      the replicas as an OpenAI-compatible server
"""
