"""Fashion-MNIST."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from gannet.data.base import ArraySource
from gannet.data.labeled import LabeledImages
from gannet.data.opening import open_source
from gannet.data.public_dataset import CONNECT_SECONDS, PublicDataset, cache_folder, of_array
from gannet.errors import GannetError

#: The ten classes of Fashion-MNIST, by label.
FASHION_MNIST_CLASSES = (
    "t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip

_PACKAGE = "dataset-fashion-mnist"
_PACKAGE_FOLDER = "usr/share/datasets/fashion-mnist"
_COMMAND_SECONDS = 180


class FashionMnist(PublicDataset):
    """Fashion-MNIST: 60,000 training and 10,000 test images of 28 x 28 gray pixels in ten classes.

    It is read from a folder with the four IDX files.
    """

    name = "fashion-mnist"
    local_names = ("fashion-mnist", "fashion_mnist", "FashionMNIST/raw", "FashionMNIST")

    def read(self, path: Path) -> LabeledImages:
        """Return the data set at a path."""
        source = open_source(path)
        if not isinstance(source, ArraySource) or len(source.class_names) != len(FASHION_MNIST_CLASSES):
            files = "train-images-idx3-ubyte.gz, ..."
            raise GannetError(f"{path} is not Fashion-MNIST: it needs the four IDX files ({files})")
        source.class_names = FASHION_MNIST_CLASSES
        return of_array(self.name, source, f"IDX files in {source.container}")

    def fetch(self) -> Path:
        """Fetch Debian's package of Fashion-MNIST (31 MB), which needs no root, and return its folder of IDX files.

        Raises a `GannetError` if there is no apt-get or dpkg, or the package cannot be fetched.
        """
        target = cache_folder() / self.name
        for tool in ("apt-get", "dpkg"):
            if shutil.which(tool) is None:
                raise GannetError(f"needs {tool}, which only Debian and its relatives have")
        timeout = f"Acquire::http::Timeout={CONNECT_SECONDS}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent) as work:
                _run(["apt-get", "download", "-q", "-o", timeout, _PACKAGE], work)
                package = next(Path(work).glob(f"{_PACKAGE}_*.deb"))
                _run(["dpkg", "-x", str(package), "tree"], work)
                shutil.rmtree(target, ignore_errors=True)
                (Path(work) / "tree" / _PACKAGE_FOLDER).rename(target)
        except (OSError, StopIteration) as error:
            raise GannetError(f"Debian's package {_PACKAGE} could not be unpacked: {error}") from error
        return target


def _run(command: list[str], folder: str) -> None:
    """Run a program in a folder without output; the last line of its error output becomes the error message."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise GannetError(f"{command[0]} took longer than {_COMMAND_SECONDS} s") from error
    if done.returncode:
        complaint = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise GannetError(f"{command[0]} failed: {complaint}")
