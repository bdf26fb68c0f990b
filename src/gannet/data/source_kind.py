"""The base class of the kinds of sources, which other distributions extend to add their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from gannet.data.base import ImageSource
from gannet.data.matrix import MatrixSource
from gannet.data.options import ReadOptions
from gannet.errors import GannetError


class SourceKind(ABC):
    """One kind of source, such as zip archives of images: which paths it takes, and how they are opened.

    Subclasses set ``name`` and ``description`` and implement `takes` and `open`. A subclass is made without arguments.
    Other distributions name their subclasses in the entry-point group ``gannet.sources``.

    Attributes
    ----------
    name : str
        Unique name, such as ``image-zip``.
    description : str
        A few words for messages that list the accepted kinds, such as ``a .zip of images``.
    items : {"members", "files", "rows"}, default="members"
        Kind of the items. ``"members"`` are images in a container; their paths are the container, ``#`` or ``!``, and
        the name of the member, and they are read back through the container. ``"files"`` are image files of their own.
        ``"rows"`` are rows of a matrix, named ``MATRIX#17``, which have no image.
    options : frozenset of str, default=frozenset()
        Names of the options (`gannet.data.ReadOptions`) that `open_with` heeds.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    items: ClassVar[Literal["members", "files", "rows"]] = "members"
    options: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def takes(self, text: str) -> bool:
        """Return whether this kind opens a text.

        The test must be cheap: look at the name, or whether a file exists, and read no content.

        Parameters
        ----------
        text : str
            The absolute path of a file or folder that exists, or any other text as it was given, such as
            ``mydb://table``.

        Returns
        -------
        bool
            True if `open` is to be called with the text.
        """

    @abstractmethod
    def open(self, text: str) -> ImageSource | MatrixSource:
        """Open a text that `takes` has accepted.

        Parameters
        ----------
        text : str
            As for `takes`. The ``container`` of an `ImageSource` must be a text that `takes` accepts, so
            that its items can be read back.

        Returns
        -------
        ImageSource or MatrixSource
            The opened source.

        Raises
        ------
        GannetError
            If it is empty or damaged; the message is one line that names it.
        """

    def open_with(self, text: str, options: ReadOptions) -> ImageSource | MatrixSource:
        """Open a text as `open` does, but read as the options say.

        A kind that overrides this method names the options that it heeds in ``options``.

        Parameters
        ----------
        text : str
            As for `open`.
        options : ReadOptions
            How to read.

        Returns
        -------
        ImageSource or MatrixSource
            The opened source.

        Raises
        ------
        GannetError
            As for `open`, or if an option is given that this kind does not heed.
        """
        return self.open(text)

    def check_options(self, text: str, options: ReadOptions) -> None:
        """Raise an error if an option is given that this kind ignores.

        Parameters
        ----------
        text : str
            The source, for the message.
        options : ReadOptions
            The options.

        Raises
        ------
        GannetError
            If an option is given that is not in ``options`` of the class.
        """
        others = [f"--{name.replace('_', '-')}" for name in options.given() if name not in self.options]
        if others:
            raise GannetError(f"{text} is {self.description}: leave {', '.join(others)} out")
