"""The error that ends a command with a message instead of a traceback."""


class ModelError(ValueError):
    """Training or evaluation cannot go on. The message says what is wrong, where, and the cure."""
