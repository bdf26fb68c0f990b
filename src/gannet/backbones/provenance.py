"""Where the weights of a network of another library come from, as a model file records it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from gannet.errors import GannetError

FREE_LICENSES = frozenset(
    {
        *("apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "isc", "unlicense"),
        *("cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0"),
    }
)
"""Licenses under which weights may be passed on, also within another file, by their names on the Hugging Face hub."""


@dataclass(frozen=True)
class Provenance:
    """Origin and identity of a network of another library.

    Parameters
    ----------
    digest : str
        SHA-256 (hex) of the weights.
    n_features : int
        Length of the feature vectors.
    preprocessing : str
        Description of what the library does to an image before the network sees it.
    revision : str or None, default=None
        Commit of the hub's repository that the weights come from, if it is known.
    license : str or None, default=None
        License of the weights, if the network's metadata name one.
    files : mapping of str to str, default={}
        Contents of the small text files from which the library builds the network without weights, by file name.
    """

    digest: str
    n_features: int
    preprocessing: str
    revision: str | None = None
    license: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> Self:
        """Return the provenance in the header of a model file; fields of later versions are ignored.

        Parameters
        ----------
        header : mapping
            The header's entry ``network``.

        Returns
        -------
        Provenance
            The provenance.

        Raises
        ------
        GannetError
            If a field has another type.
        """
        made = cls(**{key.name: header[key.name] for key in fields(cls) if key.name in header})
        texts = made.digest, made.preprocessing, *made.files, *made.files.values()
        if not all(isinstance(text, str) for text in texts) or made.n_features < 1:
            raise GannetError("the record of the image network is damaged")
        return made

    @property
    def may_embed(self) -> bool:
        """Whether the license is known to allow a copy of the weights in a model file."""
        return (self.license or "").lower() in FREE_LICENSES

    @property
    def key(self) -> str:
        """SHA-256 (hex) of everything that the features of an image depend on."""
        identity = [self.digest, self.preprocessing, dict(self.files)]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
