"""What SIGTERM does to a training: it saves, and ends with a status of its own. See shards.terminal.sigterm_noted."""


class StoppedError(Exception):
    """SIGTERM came: the state is saved, the same command goes on."""
