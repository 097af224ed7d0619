"""From a checkpoint of verl to a folder that transformers and vLLM load.

``checkpoint``  the weights of an FSDP checkpoint, whole and in the dtype they were kept in
``fuse``        weights, adapter and tokenizer written as a folder, with a model card
"""
