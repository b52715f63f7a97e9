"""What ends a run with a message instead of a traceback."""


class ModelError(ValueError):
    """Training or evaluation cannot go on; the message says what, where, and the cure."""
