"""Pages: self-contained HTML of search results and of the demo. They show what they are given and compute nothing."""

from gannet.web.page import PICTURE_SIDE, demo_page, read_picture, search_page
from gannet.web.report import DemoNeighbour, DemoPicture, DemoQuery, DemoReport, Score

__all__ = [
    "PICTURE_SIDE",
    "DemoNeighbour",
    "DemoPicture",
    "DemoQuery",
    "DemoReport",
    "Score",
    "demo_page",
    "read_picture",
    "search_page",
]
