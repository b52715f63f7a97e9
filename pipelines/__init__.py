"""Recipes as data: TOML files, and the one strict loader that reads them."""

from pipelines.loader import RecipeError, load, names

__all__ = ["RecipeError", "load", "names"]
