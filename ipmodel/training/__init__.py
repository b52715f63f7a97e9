"""Training one phase after another."""
