"""The version of the distribution, for all four packages; pyproject.toml reads it from this file's text."""

__version__ = "0.1.0"
