"""Compiled arithmetic: flow, residuals and the codec's prediction."""
