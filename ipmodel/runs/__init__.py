"""A run's directory: what it was begun with, its checkpoints and its logs."""
