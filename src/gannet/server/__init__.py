"""The local page and the HTTP API over a collection: what they show comes from `gannet.search`."""

from gannet.server.app import create_app
from gannet.server.run import serve

__all__ = ["create_app", "serve"]
