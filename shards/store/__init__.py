"""Where the bytes of a set come from: a directory, or a URL through the cache."""
