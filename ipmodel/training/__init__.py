"""Trains the phases of a recipe, one after the other."""
