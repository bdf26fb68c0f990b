"""The collection file: its tables and transactions, and the code that fills it and keeps it up to date."""

from gannet.collection.collection import Collection

__all__ = ["Collection"]
