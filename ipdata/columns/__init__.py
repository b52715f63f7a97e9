"""How each column is made from decoded pictures: one module for each column, and the registry of all columns."""
