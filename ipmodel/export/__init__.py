"""Networks as programs of their own, for machines without this package."""
