"""Converts a checkpoint of verl to a folder that transformers, vLLM and peft load.

``checkpoint``  the files of an FSDP checkpoint, and the record of its run
``shards``      joins the shards, one parameter at a time
``records``     the checksums of the shards' files
``unpickle``    reads a shard that another version of torch wrote
``finite``      refuses NaN and infinity
``skeleton``    the model without data: names, shapes, tied parameters, where an adapter stands
``base``        the model that the run was started from
``fuse``        the finished model's parameters, one at a time, with the adapter added
``folder``      weights and configuration as files
``tokenizer``   the tokenizer and its chat template as files
``needs``       memory and disk that it takes
``card``        the model card
``write``       all of it, in order
``objects``     reads JSON files
``errors``      what an export that cannot be done raises
"""
