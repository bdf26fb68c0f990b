"""CIFAR-10."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gannet.data.base import ArraySource
from gannet.data.class_folders import load_class_folders
from gannet.data.labeled import LabeledImages
from gannet.data.opening import open_source
from gannet.data.public_dataset import CONNECT_SECONDS, PublicDataset, cache_folder, of_array
from gannet.data.sources.cifar10_batches import CIFAR10_CLASSES
from gannet.errors import GannetError
from gannet.support.progress import progress

_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
_MD5 = "md5:c58f30108f718f92721af3b95e74349a"
_BYTES = 170_498_071
_READ_SECONDS = 30


class Cifar10(PublicDataset):
    """CIFAR-10: 50,000 training and 10,000 test images of 32 x 32 pixels in ten classes.

    It is read from the official archive or folder, or from class folders (``train/airplane/0000.jpg``) in a folder or a
    zip archive. ``url`` is the address of the official archive.
    """

    name = "cifar10"
    local_names = ("cifar-10-batches-py", "cifar-10-python.tar.gz", "cifar10*", "cifar-10*", "CIFAR10*", "CIFAR-10*")

    def __init__(self, url: str = _URL) -> None:
        self.url = url

    def read(self, path: Path) -> LabeledImages:
        """Return the data set at a path."""
        source = open_source(path)
        if isinstance(source, ArraySource) and source.class_names == CIFAR10_CLASSES:
            return of_array(self.name, source, f"official archive in {source.container}")
        found = load_class_folders(path)
        if found.class_names != CIFAR10_CLASSES or not found.parts:
            raise GannetError(f"{path} is not CIFAR-10: it needs train/ and test/ with the folders airplane to truck")
        return replace(found, name=self.name)

    def fetch(self) -> Path:
        """Download the official archive (170 MB), check its published MD5, and return its path.

        Raises a `GannetError` if the site does not answer within seconds, or the file is not the official one.
        """
        import pooch
        import requests

        pooch.get_logger().setLevel("ERROR")
        timeout = (CONNECT_SECONDS, _READ_SECONDS)
        try:
            with progress(_BYTES, "downloading CIFAR-10", "B") as bar:
                path = pooch.retrieve(
                    self.url,
                    known_hash=_MD5,
                    fname="cifar-10-python.tar.gz",
                    path=cache_folder(),
                    downloader=pooch.HTTPDownloader(progressbar=bar, timeout=timeout),
                )
            return Path(path)
        except requests.RequestException as error:
            raise GannetError(f"{self.url} cannot be reached ({type(error).__name__})") from error
        except (OSError, ValueError) as error:
            raise GannetError(f"{self.url} could not be downloaded: {error}") from error
