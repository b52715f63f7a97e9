"""Scores of the test subset, late fusion, tables and plots."""
