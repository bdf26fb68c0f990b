"""A labeled data set."""

import numpy as np

from gannet.data import Dataset, LabelledImages
from gannet_outside.source import ColorImages


class WarmOrCold(Dataset):
    """Images that are red or blue."""

    name = "warm-or-cold"

    def load(self, path=None):
        source = ColorImages(path or "colors://120")
        return LabelledImages(self.name, source, np.arange(len(source)) % 2, ("warm", "cold"))
