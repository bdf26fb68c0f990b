"""The collection file: its tables, its transactions, and how it is filled and kept up to date."""

from gannet.collection.collection import Collection

__all__ = ["Collection"]
