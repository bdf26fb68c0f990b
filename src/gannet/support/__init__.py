"""Helpers that every other folder may use: threads, compiled functions, progress bars and files."""
