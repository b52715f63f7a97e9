"""How far a build is, from what it has left in its output: read only, while it runs and afterwards."""
