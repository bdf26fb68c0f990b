"""Networks that map texts to feature vectors, and the place of these vectors among the features of items."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from gannet.backbones._generic_texts import GENERIC_TEXTS
from gannet.backbones.vectors import checked_vectors, on_cpu
from gannet.errors import GannetError
from gannet.registry import Registry
from gannet.support.arrays import array_digest, unit_rows

Vectors = NDArray[np.float32]

_BATCH = 64
_FILE = "file."


class EncodesTexts(Protocol):
    """An object of another library that encodes texts."""

    def encode(self, texts: list[str], /) -> Any:
        """Return the vectors of texts, an array or tensor of shape ``(n, d)``."""
        ...


class TextEncoder(ABC):
    """A network for texts that ``gannet fit --text-network`` takes by name.

    A subclass in one file, in ``gannet/backbones/text_networks`` or in another distribution (entry-point group
    ``gannet.text_networks``), which need not be a subclass there.

    Attributes
    ----------
    name : str
        The name.
    """

    name: ClassVar[str]

    @property
    @abstractmethod
    def digest(self) -> str:
        """SHA-256 (hex) of the weights, by which a model file recognizes the network."""

    @abstractmethod
    def encode(self, texts: list[str], /) -> Any:
        """Return the vectors of queries.

        Parameters
        ----------
        texts : list of str
            The queries.

        Returns
        -------
        ndarray of shape (n, n_features)
            One vector per query.
        """


TextNetworkLike = str | EncodesTexts
"""Whatever `gannet.backbones.make_text_network` takes."""


@dataclass(frozen=True)
class TextNetwork:
    """A network from texts to feature vectors.

    Parameters
    ----------
    name : str
        Its name.
    encode : callable
        From a list of texts to an array or tensor of shape ``(n, n_features)``.
    digest : str, default=""
        Identifies what the vectors depend on and no other record holds: the tokenizer of a text tower, whose weights
        are those of the image network, or the weights of a network for texts alone. Empty if it is not known.
    files : mapping of str to bytes, default={}
        Contents of the tokenizer's files, by file name.

    Examples
    --------
    >>> from gannet.backbones.texts import TextNetwork
    >>> network = TextNetwork("lengths", lambda texts: [[len(text), text.count(" ")] for text in texts])
    >>> network.vectors(["a red car", "dogs"]).round(2)
    array([[0.98, 0.22],
           [1.  , 0.  ]], dtype=float32)
    """

    name: str
    encode: Callable[[list[str]], Any]
    digest: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of texts.

        Parameters
        ----------
        texts : sequence of str
            The texts.

        Returns
        -------
        ndarray of shape (n, n_features), dtype float32
            One vector of unit length per text.

        Raises
        ------
        GannetError
            If the network returns anything but one finite vector per text, or vectors of different lengths.
        """
        batches = [list(texts[start : start + _BATCH]) for start in range(0, len(texts), _BATCH)]
        found = [checked_vectors(self.name, self._encoded(batch), len(batch), item="text") for batch in batches]
        return np.asarray(unit_rows(np.concatenate(found)), np.float32)

    def _encoded(self, batch: list[str]) -> Any:
        try:
            return on_cpu(self.encode(batch))
        except Exception as error:  # networks of other libraries can fail in any way
            reason = " ".join(str(error).split())[:400] or type(error).__name__
            raise GannetError(f"the text network {self.name!r} cannot encode texts: {reason}") from error


@dataclass(frozen=True)
class TextRecord:
    """How a model turns texts into features like those of its items.

    The features of texts lie apart from those of images even if one network was trained to match them, and those of
    queries apart from those of longer texts. Each kind is therefore centered by its own mean: the features of a text
    are ``length * (t - mean) + item_mean``, for its vector t of unit length, and encoders subtract the mean of the
    items from them.

    Parameters
    ----------
    mean : ndarray of shape (n_features,), dtype float32
        Mean of the vectors of generic texts at unit length.
    item_mean : ndarray of shape (n_features,), dtype float32
        Mean of the features of the items that the model was learned from.
    length : ndarray of shape (1,), dtype float32
        Mean length of these features.
    digest : str
        The `TextNetwork.digest`.
    network : str or None, default=None
        Name of the network; None for the text tower of the model's image network.
    files : mapping of str to bytes, default={}
        The `TextNetwork.files`, if they are stored.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.backbones.texts import TextNetwork, TextRecord
    >>> network = TextNetwork("lengths", lambda texts: [[len(text), text.count(" ")] for text in texts])
    >>> items = np.array([[2.0, 0.0], [0.0, 2.0]])
    >>> record = TextRecord.of(network, items, is_tower=False, embeds=False)
    >>> record.length, record.item_mean
    (array([2.], dtype=float32), array([1., 1.], dtype=float32))
    >>> record.features(network.vectors(["a red car"])).shape
    (1, 2)
    """

    mean: Vectors
    item_mean: Vectors
    length: Vectors
    digest: str
    network: str | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, network: TextNetwork, features: NDArray[Any], *, is_tower: bool, embeds: bool) -> Self:
        """Return the record for a network and the features of items.

        Parameters
        ----------
        network : TextNetwork
            The network, which encodes generic texts.
        features : ndarray of shape (n, ..., n_features)
            Features of the items, or of several views of each.
        is_tower : bool
            Whether the network is the text tower of the model's image network.
        embeds : bool
            Whether the model file stores the tokenizer's files.

        Returns
        -------
        TextRecord
            The record.

        Raises
        ------
        GannetError
            If the network fails, or makes vectors of another length than the items' features.
        """
        n_features = features.shape[-1]
        vectors = network.vectors(GENERIC_TEXTS)
        if vectors.shape[1] != n_features:
            raise GannetError(
                f"the text network {network.name!r} makes vectors of {vectors.shape[1]} values, but the items have "
                f"{n_features} features: name the network that made them"
            )
        squares = np.einsum("...d,...d->...", features, features, dtype=np.float64)
        return cls(
            vectors.mean(axis=0),
            features.mean(axis=tuple(range(features.ndim - 1)), dtype=np.float64).astype(np.float32),
            np.array([np.sqrt(squares).mean()], np.float32),
            network.digest,
            None if is_tower else network.name,
            dict(network.files) if embeds else {},
        )

    def header(self) -> dict[str, Any]:
        """Return the parts that a model file stores as JSON.

        Returns
        -------
        dict
            The name of the network and the digest.
        """
        return {"network": self.network, "digest": self.digest}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the parts that a model file stores as arrays.

        Returns
        -------
        dict of str to ndarray
            The means, the length and the contents of the tokenizer's files, by name.
        """
        files = {f"{_FILE}{name}": np.frombuffer(content, np.uint8) for name, content in self.files.items()}
        return {"mean": self.mean, "item_mean": self.item_mean, "length": self.length, **files}

    @classmethod
    def from_stored(cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the record whose parts a model file stores.

        Parameters
        ----------
        header : mapping
            What `header` returned.
        arrays : mapping of str to ndarray
            What `arrays` returned.

        Returns
        -------
        TextRecord
            The record.

        Raises
        ------
        GannetError
            If the parts do not fit together.
        """
        means = arrays["mean"], arrays["item_mean"], arrays["length"]
        files = {name.removeprefix(_FILE): array.tobytes() for name, array in arrays.items() if name.startswith(_FILE)}
        made = cls(*means, str(header["digest"]), header["network"], files)
        fits = made.mean.shape == made.item_mean.shape and made.length.shape == (1,) and made.length > 0
        if not fits or not all(np.isfinite(array).all() for array in means):
            raise GannetError("the record of the text network is damaged")
        return made

    def features(self, vectors: Vectors) -> Vectors:
        """Return the features of texts for an encoder.

        Parameters
        ----------
        vectors : ndarray of shape (n, n_features), dtype float32
            Vectors of the texts, of unit length.

        Returns
        -------
        ndarray of shape (n, n_features), dtype float32
            The features.
        """
        return np.asarray(self.length * (vectors - self.mean) + self.item_mean, np.float32)

    def cosines(self, text: NDArray[Any], items: NDArray[Any]) -> Vectors:
        """Return the cosines of a text and items, each centered by its own mean.

        Parameters
        ----------
        text : ndarray of shape (n_features,)
            What `features` returned for the text.
        items : ndarray of shape (m, n_features)
            Features of the items at unit length.

        Returns
        -------
        ndarray of shape (m,), dtype float32
            The cosines.
        """
        centered = unit_rows(items.astype(np.float32) - self.item_mean / self.length)
        return np.asarray(centered @ unit_rows(text - self.item_mean), np.float32)


def token_digest(tokenize: Callable[[list[str]], Mapping[str, Any]]) -> str:
    """Return the SHA-256 (hex) of the tokens of generic texts, by which a tokenizer is recognized.

    The files of a tokenizer would be no identity, because versions of a library write them differently. Raises a
    `GannetError` if different texts have the same tokens, as without a vocabulary.
    """
    tokens = {name: np.asarray(values) for name, values in tokenize(GENERIC_TEXTS).items()}
    if len(np.unique(np.concatenate(list(tokens.values()), axis=1), axis=0)) < len(GENERIC_TEXTS):
        raise GannetError("the tokenizer cannot tell texts apart: the files of its vocabulary are missing")
    return array_digest(tokens)


@functools.cache
def text_encoders() -> Registry[TextEncoder]:
    """Return the registry of networks for texts."""
    return Registry(
        "text network",
        TextEncoder,  # type: ignore[type-abstract]
        "gannet.backbones.text_networks",
        "gannet.text_networks",
    )
