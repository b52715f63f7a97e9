"""The columns of a set: one class a column, and the registry that knows them all."""

from shards.columns.base import Column, Encoding, Payload, UnknownColumn
from shards.columns.registry import COLUMNS, column_of, described_column, in_order, known_columns

__all__ = [
    "COLUMNS",
    "Column",
    "Encoding",
    "Payload",
    "UnknownColumn",
    "column_of",
    "described_column",
    "in_order",
    "known_columns",
]
