"""scikit-learn's handwritten digits."""

from __future__ import annotations

from gannet.data.labeled import Dataset, LabeledImages
from gannet.data.public_dataset import of_array
from gannet.data.sources.sklearn_digits import SklearnDigits
from gannet.errors import GannetError


class Digits(Dataset):
    """scikit-learn's digits: 1,797 gray images of 8 x 8 pixels in ten classes, without an official split."""

    name = "digits"

    def load(self, path: str | None = None) -> LabeledImages:
        """Return the digits. They come with scikit-learn, so that a path is refused."""
        if path is not None:
            raise GannetError("the digits come with scikit-learn: leave the path out")
        return of_array(self.name, SklearnDigits().open(), "in scikit-learn")
