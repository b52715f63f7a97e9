"""Recipes as data: TOML files, and the strict loader that reads them."""

from pipelines.loader import RecipeError, from_table, load, names

__all__ = ["RecipeError", "from_table", "load", "names"]
