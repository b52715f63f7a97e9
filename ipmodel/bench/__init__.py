"""What a model costs on this machine: the paper's Table 1 for our code."""
