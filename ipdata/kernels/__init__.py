"""Compiled arithmetic: flow, residuals and what the codec predicts."""
