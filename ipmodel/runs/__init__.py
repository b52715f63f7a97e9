"""A run's directory: its record, checkpoints, networks and logs, and the checks before a run."""
