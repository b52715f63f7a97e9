"""Recipes as data: TOML files, and the strict loader that reads them."""

from pipelines.loader import RecipeError, build, load, names

__all__ = ["RecipeError", "build", "load", "names"]
