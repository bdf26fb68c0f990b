"""How a source is read: the choices that `open_source` and the command line offer."""

from __future__ import annotations

from dataclasses import dataclass, fields

#: Entries of folders and archives that are left out by default: hidden files, and what systems add beside pictures.
DEFAULT_EXCLUDE = (".*", "@eaDir", "#recycle", "#snapshot", "@Recycle", "$RECYCLE.BIN", "*.photoslibrary", "__MACOSX")


@dataclass(frozen=True)
class ReadOptions:
    """How a source is read.

    Parameters
    ----------
    features : tuple of str, default=()
        Of a matrix: names or patterns (``f*``) of the columns of features, or the name of the array in an .npz file.
        If empty, they are found by their types and names.
    names : str, default=None
        Of a matrix: the column or array that names the items, or the path of a text file with one name per line.
    skip_nan : bool, default=False
        Of a matrix: whether rows with NaN, infinity or missing values are left out and counted.
    exclude : tuple of str, default=()
        Of images: patterns of files and folders that are left out, in addition to `DEFAULT_EXCLUDE`. An empty pattern
        turns the default ones off.
    truncated : bool, default=False
        Of images: whether pictures that are cut off are read as far as they go.
    """

    features: tuple[str, ...] = ()
    names: str | None = None
    skip_nan: bool = False
    exclude: tuple[str, ...] = ()
    truncated: bool = False

    def given(self) -> list[str]:
        """Return the names of the options that differ from their defaults."""
        return [field.name for field in fields(self) if getattr(self, field.name) != field.default]


#: Options that concern matrices, and those that concern images.
MATRIX_OPTIONS = frozenset({"features", "names", "skip_nan"})
IMAGE_OPTIONS = frozenset({"exclude", "truncated"})
