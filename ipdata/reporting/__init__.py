"""The report of a build as one HTML file: what was built, what failed, and what it took."""
