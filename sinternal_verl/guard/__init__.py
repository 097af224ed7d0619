"""The guard model: Qwen3Guard-Gen as a judge of answers.

``errors``    every exception of the guard
``content``   changes the policy's text so that it cannot leave its place in the guard's prompt
``template``  puts it into the guard's own chat template, as token ids
``verdict``   reads what the guard generated, only when it is exactly one answer
``judge``     from a conversation to a judgement, by one forward pass or by decoding
``engine``    vLLM's engine behind a judge
``clock``     the time limit of a sample, which stands still while it waits for the guard
``window``    how many requests are worked on at a time, and who waits
``gauges``   what a replica shows at Ray's metrics endpoint, for Prometheus
``mailbox``   sends many calls to a Ray actor as one
``throughput`` how fast a guard is, and how many replicas a run needs
``replica``   judges as Ray actors, which the trainer starts
``client``    a reward worker asks the replicas
``endpoint``  a reward worker asks a server over HTTP
``backend``   the interface of these two, chosen by the configuration; scorers know only this
``probe``     is there a guard at this address? asked before a run starts, and where rewards are computed
``api_key``   the key of a server, read from an environment variable
``http``      the replicas as an OpenAI-compatible server
``parameters`` what a request to that server may ask for
"""
