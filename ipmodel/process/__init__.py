"""What concerns the process itself: ranks, signals, memory, and how a command ends."""
