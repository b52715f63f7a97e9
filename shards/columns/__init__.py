"""The columns of a set: one class a column, and the registry that knows them all."""

from shards.columns.base import Column, Encoding, UnknownColumn
from shards.columns.payload import AnyPayload, Payload, PayloadFile
from shards.columns.registry import COLUMNS, column_of, described_column, in_order, known_columns

__all__ = [
    "COLUMNS",
    "AnyPayload",
    "Column",
    "Encoding",
    "Payload",
    "PayloadFile",
    "UnknownColumn",
    "column_of",
    "described_column",
    "in_order",
    "known_columns",
]
