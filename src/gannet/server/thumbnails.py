"""Thumbnails of items by id."""

from __future__ import annotations

from gannet.data import digest, read_item, thumbnail
from gannet.errors import GannetError
from gannet.pages.pictures import PICTURE_SIDE
from gannet.retrieval.live import LiveCollection, UnknownItemError
from gannet.retrieval.live_target import LiveTarget


class NoPictureError(GannetError):
    """The item has no picture to show."""


def item_thumbnail(collection: LiveCollection | LiveTarget, id: int) -> bytes:
    """Return a thumbnail of an item as JPEG, encoded again from its file.

    The file must still have the content that was indexed. A file that replaced it, or that a link now points to, is not
    part of the collection and is not shown. An item without a digest has no thumbnail, because its file cannot be
    checked.

    Raises an `UnknownItemError` if the collection has no such item, and a `NoPictureError` if the item has no picture,
    or if its file is gone or has changed.
    """
    path = collection.item(id).path
    try:
        raw = read_item(path)
        if not collection.has_content(id, digest(raw)):
            raise GannetError(
                "changed since it was indexed: its file is not the one that was indexed; run `gannet add` again"
            )
        return thumbnail(raw, PICTURE_SIDE, truncated=True)
    except UnknownItemError:
        raise
    except GannetError as error:
        raise NoPictureError(f"item {id} has no picture: {error}") from error
