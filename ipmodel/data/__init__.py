"""From a shard set to what a network takes."""
