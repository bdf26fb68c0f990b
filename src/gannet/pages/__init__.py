"""HTML pages, each one self-contained file: search results, near-duplicates, the demo and benchmark reports."""

from gannet.pages.demo import DemoNeighbor, DemoPicture, DemoQuery, DemoReport, Score, demo_page
from gannet.pages.duplicates import duplicates_page
from gannet.pages.pictures import read_picture
from gannet.pages.search import search_page

__all__ = [
    "DemoNeighbor",
    "DemoPicture",
    "DemoQuery",
    "DemoReport",
    "Score",
    "demo_page",
    "duplicates_page",
    "read_picture",
    "search_page",
]
