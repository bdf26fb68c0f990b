"""The HTTP server of a collection: its API, its web page and the protection of both."""

from gannet.server.app import create_app
from gannet.server.run import serve

__all__ = ["create_app", "serve"]
