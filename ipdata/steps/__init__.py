"""What a build does: plan, extract, pack, and the output that it leaves."""
