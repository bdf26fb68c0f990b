"""Pictures of items, by id."""

from __future__ import annotations

from gannet.data import digest, read_item, thumbnail
from gannet.errors import GannetError
from gannet.pages.page import PICTURE_SIDE
from gannet.search.live import LiveCollection, UnknownItemError


class NoPictureError(GannetError):
    """The item has no picture to show."""


def item_thumbnail(collection: LiveCollection, id: int) -> bytes:
    """Return a small JPEG of an item, encoded anew from its file.

    The file must have the content that was indexed: whatever has come in its place since, by a link or otherwise, is
    not a picture of the collection and is not shown. For the same reason an item without a digest has none.

    Raises: `UnknownItemError` where there is no such item, `NoPictureError` where it has no picture (any more).
    """
    path = collection.item(id).path
    try:
        raw = read_item(path)
        if not collection.has_content(id, digest(raw)):
            raise GannetError("its file is not the one that was indexed: run `gannet add` again")
        return thumbnail(raw, PICTURE_SIDE)
    except UnknownItemError:
        raise
    except GannetError as error:
        raise NoPictureError(f"item {id} has no picture: {error}") from error
