"""Helpers without knowledge of codes or images: threads, compiled functions, progress bars, arrays and files."""
