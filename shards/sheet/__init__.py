"""The contact sheet: what `ipshards show` draws of a sample."""
