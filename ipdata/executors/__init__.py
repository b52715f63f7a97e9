"""Where a build runs: in this process, on a Dask cluster, each video in a child process."""
