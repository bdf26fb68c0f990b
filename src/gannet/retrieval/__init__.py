"""Queries against a collection: nearest neighbors, re-ranking and near-duplicates."""
