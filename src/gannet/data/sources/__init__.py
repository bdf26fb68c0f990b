"""The kinds of sources that Gannet opens, one file per kind."""
