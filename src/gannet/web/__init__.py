"""Pages: self-contained HTML of search results, the demo and a benchmark. They show what they are given, no more."""

from gannet.web.page import PICTURE_SIDE, demo_page, duplicates_page, read_picture, search_page
from gannet.web.report import DemoNeighbour, DemoPicture, DemoQuery, DemoReport, Score

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
