"""The labeled data sets that Gannet knows by name, one file per data set, and how others are found."""

from __future__ import annotations

import functools
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from gannet.data.base import is_file
from gannet.data.labeled import Dataset, LabeledImages
from gannet.errors import GannetError, unknown_name

if TYPE_CHECKING:
    from gannet.registry import Registry


@functools.cache
def registry() -> Registry[Dataset]:
    """Return the registry of data sets. Their entry points share the group ``gannet.sources`` with kinds of sources."""
    from gannet.registry import Registry

    return Registry("data source", Dataset, "gannet.data.datasets", "gannet.sources")  # type: ignore[type-abstract]


def all_datasets() -> dict[str, type[Dataset]]:
    """Return every labeled data set by name, in alphabetical order.

    Returns
    -------
    dict of str to type[Dataset]
        Gannet's own classes, and those that other distributions name in the entry-point group ``gannet.sources``.

    Examples
    --------
    >>> from gannet.data import all_datasets
    >>> list(all_datasets())
    ['cifar10', 'digits', 'fashion-mnist', 'nuswide21']
    """
    return {name: cls for name, cls in registry().all().items() if issubclass(cls, Dataset)}


def get_dataset(name: str) -> type[Dataset]:
    """Return the labeled data set of that name.

    Parameters
    ----------
    name : str
        A name that `all_datasets` lists.

    Returns
    -------
    type[Dataset]
        The class; ``get_dataset(name)().load()`` loads the images.

    Raises
    ------
    GannetError
        If there is none (the message suggests the nearest name), or if its distribution cannot be imported.

    Examples
    --------
    >>> from gannet.data import get_dataset
    >>> len(get_dataset("digits")().load())
    1797
    """
    found = registry().get(name)
    if not issubclass(found, Dataset):
        raise unknown_name("data source", name, all_datasets())
    return found


def load_own(path: str | os.PathLike[str]) -> LabeledImages:
    """Return a user's own labeled images.

    The path is a folder with ``database.txt`` and ``test.txt``, one list that ends in ``.txt``, or class folders in a
    folder or a zip archive. Raises a `GannetError` if it is none of these, or if a list or folder is malformed.
    """
    from gannet.data.class_folders import load_class_folders
    from gannet.data.lists import has_lists, load_list, load_lists

    if has_lists(path):
        return load_lists(path)
    if is_file(os.fspath(path)) and os.fspath(path).lower().endswith(".txt"):
        return load_list(path)
    return load_class_folders(path)


def find_dataset() -> LabeledImages:
    """Return the first public data set that can be loaded; its ``attempts`` say why others could not.

    The order is: CIFAR-10, then Fashion-MNIST, on this computer; CIFAR-10 from its official site; Fashion-MNIST from
    Debian; scikit-learn's digits, which are always available.
    """
    from gannet.data.datasets.cifar10 import Cifar10
    from gannet.data.datasets.digits import Digits
    from gannet.data.datasets.fashion_mnist import FashionMnist

    cifar10, fashion_mnist = Cifar10(), FashionMnist()
    attempts: list[str] = []
    for what, load in (
        ("CIFAR-10 on this computer", cifar10.local),
        ("Fashion-MNIST on this computer", fashion_mnist.local),
        ("CIFAR-10 from its official site", cifar10.fetched),
        ("Fashion-MNIST from Debian", fashion_mnist.fetched),
    ):
        try:
            return replace(load(), attempts=tuple(attempts))
        except GannetError as error:
            attempts.append(f"{what}: {error}")
    return replace(Digits().load(), attempts=tuple(attempts))
