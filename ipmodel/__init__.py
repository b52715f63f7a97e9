"""Shard sets to models: the paper's networks, their training and their evaluation."""
