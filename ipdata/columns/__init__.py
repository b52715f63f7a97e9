"""How each column is made from decoded pictures."""
