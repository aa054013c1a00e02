"""What lies on disk: atomic writes, the cache, the run folder."""
