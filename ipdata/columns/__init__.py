"""How each column is made from decoded pictures: one module a column, and the registry that knows them all."""
