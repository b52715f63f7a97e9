"""From a shard set to the input of a network."""
