"""What SIGTERM does to a training: it saves, and ends with a status of its own. See shards.signals.sigterm_noted."""


class StoppedError(Exception):
    """SIGTERM came, and the state is saved. Run the same command again to continue."""
