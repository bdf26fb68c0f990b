"""NUS-WIDE with the 21 concepts of the hashing literature."""

from __future__ import annotations

import os
from dataclasses import replace

from gannet.data.labeled import Dataset, LabeledImages
from gannet.data.lists import load_lists
from gannet.errors import GannetError

#: Number of concepts that label the images.
NUSWIDE_LABELS = 21


class NusWide21(Dataset):
    """NUS-WIDE, each image with any of 21 concepts, as listed by ``test.txt``, ``database.txt`` and ``train.txt``."""

    name = "nuswide21"

    def load(self, path: str | None = None) -> LabeledImages:
        """Return the images that the lists in a folder name; without a path, in the folder ``$GANNET_DATA``."""
        folder = path or os.environ.get("GANNET_DATA")
        if not folder:
            raise GannetError(
                "NUS-WIDE cannot be downloaded: name a folder with its images, database.txt, test.txt and train.txt "
                "with --data or in GANNET_DATA"
            )
        found = load_lists(folder)
        if found.labels.ndim != 2 or found.labels.shape[1] != NUSWIDE_LABELS:
            width = found.labels.shape[1] if found.labels.ndim == 2 else "one name"
            raise GannetError(
                f"the lists in {folder} label each image by {width}; NUS-WIDE has {NUSWIDE_LABELS} columns"
            )
        return replace(found, name=self.name)
