"""Build shard sets from labelled videos: list a dataset, transcode, decode, make the columns, pack the shards."""
