"""This process among others: ranks, signals, memory, and how a command ends."""
