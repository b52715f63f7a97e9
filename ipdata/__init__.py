"""Videos to shard sets: datasets, transcode, compressed-domain decode, residual, flow, the Dask build."""
