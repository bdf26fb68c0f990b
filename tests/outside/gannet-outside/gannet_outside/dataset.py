"""A labeled data set that is a source too, so that ``gannet fit warm-or-cold`` works."""

import numpy as np

from gannet.data import Dataset, LabeledImages, SourceKind
from gannet_outside.source import ColorImages


class WarmOrCold(SourceKind, Dataset):
    """Images that are red or blue."""

    name = "warm-or-cold"
    description = "red and blue images (warm-or-cold)"

    def takes(self, text):
        return text == self.name

    def open(self, text):
        return ColorImages("colors://120")

    def load(self, path=None):
        source = ColorImages(path or "colors://120")
        return LabeledImages(self.name, source, np.arange(len(source)) % 2, ("warm", "cold"))
