"""Fetch public data sets into Gannet's cache folder."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from gannet.errors import GannetError
from gannet.support.cache import cache_dir
from gannet.support.progress import progress

_CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
_CIFAR10_MD5 = "md5:c58f30108f718f92721af3b95e74349a"
_CIFAR10_BYTES = 170_498_071
_DEBIAN_PACKAGE = "dataset-fashion-mnist"
_DEBIAN_FOLDER = "usr/share/datasets/fashion-mnist"
_CONNECT_SECONDS, _READ_SECONDS = 10, 30
_DEBIAN_SECONDS = 180


def cache_folder() -> Path:
    """Return the folder that fetched data sets are kept in."""
    return cache_dir() / "datasets"


def fetch_cifar10() -> Path:
    """Download the official CIFAR-10 archive (170 MB), check its published MD5, and return its path.

    Raises:
        GannetError: the site cannot be reached within seconds, or the file is not the official one.
    """
    import pooch
    import requests

    pooch.get_logger().setLevel("ERROR")
    timeout = (_CONNECT_SECONDS, _READ_SECONDS)
    try:
        with progress(_CIFAR10_BYTES, "downloading CIFAR-10", "B") as bar:
            path = pooch.retrieve(
                _CIFAR10_URL,
                known_hash=_CIFAR10_MD5,
                fname="cifar-10-python.tar.gz",
                path=cache_folder(),
                downloader=pooch.HTTPDownloader(progressbar=bar, timeout=timeout),
            )
        return Path(path)
    except requests.RequestException as error:
        raise GannetError(f"{_CIFAR10_URL} cannot be reached ({type(error).__name__})") from error
    except (OSError, ValueError) as error:
        raise GannetError(f"{_CIFAR10_URL} could not be downloaded: {error}") from error


def fetch_fashion_mnist() -> Path:
    """Fetch Debian's package of Fashion-MNIST (31 MB) without root, and return its folder of IDX files.

    Raises:
        GannetError: there is no apt-get or dpkg, or the package cannot be fetched.
    """
    target = cache_folder() / "fashion-mnist"
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise GannetError(f"needs {tool}, which only Debian and its relatives have")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as work:
            _run(
                [
                    "apt-get",
                    "download",
                    "-q",
                    "-o",
                    f"Acquire::http::Timeout={_CONNECT_SECONDS}",
                    _DEBIAN_PACKAGE,
                ],
                work,
            )
            package = next(Path(work).glob(f"{_DEBIAN_PACKAGE}_*.deb"))
            _run(["dpkg", "-x", str(package), "tree"], work)
            shutil.rmtree(target, ignore_errors=True)
            (Path(work) / "tree" / _DEBIAN_FOLDER).rename(target)
    except (OSError, StopIteration) as error:
        raise GannetError(f"Debian's package {_DEBIAN_PACKAGE} could not be unpacked: {error}") from error
    return target


def _run(command: list[str], folder: str) -> None:
    """Run a program quietly in a folder; its last line of complaint is the error."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_DEBIAN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise GannetError(f"{command[0]} took longer than {_DEBIAN_SECONDS} s") from error
    if done.returncode:
        complaint = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise GannetError(f"{command[0]} failed: {complaint}")
