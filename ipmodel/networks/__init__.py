"""The paper's networks, the weights that they begin with, and what they cost."""
