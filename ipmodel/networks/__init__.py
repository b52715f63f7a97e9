"""The paper's networks, their initial weights, and what they cost."""
