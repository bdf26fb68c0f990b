"""Pages: self-contained HTML of search results, the demo and a benchmark. They show what they are given, no more."""

from gannet.pages.demo_report import DemoNeighbour, DemoPicture, DemoQuery, DemoReport, Score
from gannet.pages.page import PICTURE_SIDE, demo_page, duplicates_page, read_picture, search_page

__all__ = [
    "PICTURE_SIDE",
    "DemoNeighbour",
    "DemoPicture",
    "DemoQuery",
    "DemoReport",
    "Score",
    "demo_page",
    "duplicates_page",
    "read_picture",
    "search_page",
]
