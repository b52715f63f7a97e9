"""Reads sets shard by shard, in an order of our own, for those who read whole shards from afar."""
