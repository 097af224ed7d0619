"""Converts a checkpoint of verl to a folder that transformers and vLLM load.

``checkpoint``  reads the weights of an FSDP checkpoint, in the dtype in which they were kept
``fuse``        writes weights, adapter and tokenizer as a folder, with a model card
"""
