"""The model file: everything that turns a new item into a code, in safetensors format with a JSON header.

Loading runs no code from the file, which holds arrays and plain text only. A digest over the header and all arrays is
checked before anything is used.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gannet.encoders import Encoder, Floats, from_arrays
from gannet.errors import GannetError
from gannet.hashers.takes import FromFeatures, FromPixels, Takes
from gannet.support.arrays import update_digest
from gannet.support.atomic import write_atomically

if TYPE_CHECKING:
    from gannet.backbones.extractor import Extractor
    from gannet.backbones.provenance import Provenance
    from gannet.backbones.texts import TextRecord
    from gannet.hashers.base import Hasher

FORMAT = "gannet-model"
VERSION = 1
PIXELS = "pixels"
"""Stands in place of a backbone's name if the encoder reads the images themselves."""

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Model:
    """A fitted encoder and, for images, the image network that its features come from.

    Parameters
    ----------
    encoder : Encoder
        From features, or pixels, to codes.
    method : str
        Name of the method that learned it.
    settings : mapping, default={}
        The method's settings, for the record.
    backbone : str or None, default=None
        Name of the image network; `PIXELS` if the encoder reads the images themselves; None for feature vectors.
    image_size : int or None, default=None
        Side in pixels of the images that the network, or the encoder, sees.
    weights : mapping of str to ndarray, default={}
        Weights of the image network; empty if there is none or if it can't be stored.
    provenance : Provenance or None, default=None
        Revision, digest and license of a network of another library; None for any other network.
    texts : TextRecord or None, default=None
        How texts are turned into features like those of the items; None if there is no text network.
    """

    encoder: Encoder
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    backbone: str | None = None
    image_size: int | None = None
    weights: Arrays = field(default_factory=dict)
    provenance: Provenance | None = None
    texts: TextRecord | None = None

    @classmethod
    def of(
        cls,
        hasher: Hasher,
        extractor: Extractor | None,
        extra: Mapping[str, Any] | None = None,
        texts: TextRecord | None = None,
    ) -> Model:
        """Return the model of a fitted hasher.

        Parameters
        ----------
        hasher : Hasher
            The fitted method.
        extractor : Extractor or None
            The image network that made the features it learned from; None if it learned from a matrix or from pixels.
        extra : mapping, default=None
            Further settings to record.
        texts : TextRecord, default=None
            How texts are turned into features.
        """
        settings = {**hasher.get_params(), **(extra or {})}
        takes = hasher.takes
        if isinstance(takes, FromPixels):
            return cls(hasher.encoder_, hasher.name, settings, PIXELS, takes.side)
        if extractor is None:
            return cls(hasher.encoder_, hasher.name, settings, texts=texts)
        network = extractor.name, extractor.size, dict(extractor.weights), extractor.provenance
        return cls(hasher.encoder_, hasher.name, settings, *network, texts)

    @property
    def takes(self) -> Takes:
        """Kind of the data that the model encodes."""
        return FromPixels(int(self.image_size or 0)) if self.backbone == PIXELS else FromFeatures()

    @property
    def has_network(self) -> bool:
        """Whether the model encodes features of an image network."""
        return self.backbone not in (None, PIXELS)

    @property
    def n_bits(self) -> int:
        """Length of the codes."""
        return self.encoder.n_bits

    @functools.cached_property
    def id(self) -> str:
        """SHA-256 (hex) of the model file. A collection identifies its model by it."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def bit_weights(self, features: npt.ArrayLike) -> Floats:
        """Return one weight per bit for each query, by which `gannet.scoring.asymmetric_scores` scores codes.

        Parameters
        ----------
        features : array-like of shape (n, n_features)
            Features of the queries, or pixels of shape ``(n, side, side, 3)``, as `Encoder.encode` takes them.

        Returns
        -------
        ndarray of shape (n, n_bits), dtype float32
            The weights; see `gannet.encoders.Encoder.bit_weights`.

        Raises
        ------
        GannetError
            If the features have another shape or hold NaN or infinity, or if a weight overflows.

        Examples
        --------
        >>> import numpy as np
        >>> from gannet import Model
        >>> from gannet.encoders import Linear
        >>> model = Model(Linear(np.zeros(2, np.float32), np.eye(2, dtype=np.float32), np.zeros(2, np.float32)), "lsh")
        >>> model.bit_weights([[0.5, -2.0]])
        array([[ 0.5, -2. ]], dtype=float32)
        """
        with np.errstate(over="ignore", invalid="ignore"):
            blocks = [self.encoder.bit_weights(chunk) for chunk in self.encoder.chunks(features)]
        weights = np.concatenate([np.empty((0, self.n_bits), np.float32), *blocks])
        bad = ~np.isfinite(weights).all(axis=1)
        if bad.any():
            raise GannetError(
                f"the values of row {int(bad.argmax())} are too large to be scored: scale the features down"
            )
        return weights

    def to_bytes(self) -> bytes:
        """Return the model as a model file.

        Returns
        -------
        bytes
            The whole file.
        """
        from safetensors.numpy import save

        tensors = {f"encoder.{name}": value for name, value in self.encoder.arrays().items()}
        tensors |= {f"backbone.{name}": value for name, value in self.weights.items()}
        header = {
            "version": VERSION,
            "method": self.method,
            "settings": dict(self.settings),
            "encoder": self.encoder.stored_kind,
            "n_bits": self.n_bits,
            "backbone": self.backbone,
            "image_size": self.image_size,
        }
        if self.provenance is not None:
            header["network"] = asdict(self.provenance)
        if self.texts is not None:
            header["texts"] = self.texts.header()
            tensors |= {f"texts.{name}": value for name, value in self.texts.arrays().items()}
        text = json.dumps(header, default=str)
        contiguous = {name: np.asarray(value, order="C") for name, value in tensors.items()}
        # safetensors writes the memory of an array unchanged, so the order must be C.
        return save(contiguous, metadata={FORMAT: f"{_digest(text, tensors)} {text}"})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model file in one step: if the process is killed or the disk is full, the old file stays.

        Parameters
        ----------
        path : path
            The file.
        """
        write_atomically(Path(path), self.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes, origin: str = "the model") -> Model:
        """Return the model in the bytes of a model file.

        Parameters
        ----------
        data : bytes
            The whole file.
        origin : str, default="the model"
            Name of the model in error messages.

        Returns
        -------
        Model
            The model.
        """
        header, tensors = _read(data, origin)
        kinds = [_encoder_kind(name, header, origin) for name in str(header.get("encoder")).split("+")]
        try:
            arrays = _parts(tensors, "encoder.")
            made = from_arrays(kinds, arrays)
            is_finite = _are_finite(made.arrays())
            model = cls(
                made,
                str(header["method"]),
                dict(header["settings"]),
                header["backbone"],
                header["image_size"],
                _parts(tensors, "backbone."),
                _provenance(header),
                _texts(header, _parts(tensors, "texts.")),
            )
            consistent = model.n_bits == header["n_bits"] and _names_backbone(model)
            consistent = consistent and (model.texts is None or model.texts.mean.shape == made.item_shape)
            consistent = consistent and (not is_finite or _can_encode(made))
        except Exception:  # parts that do not fit together can fail in any way
            is_finite = consistent = False
        if consistent and not is_finite:
            raise GannetError(f"{origin} holds NaN or infinity in its encoder: make it again with `gannet fit`")
        if not consistent:
            raise GannetError(f"{origin} does not hold a complete model: make it again with `gannet fit`")
        return model

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Model:
        """Return the model in a file.

        Parameters
        ----------
        path : path
            A file that `save` or ``gannet fit`` wrote.

        Returns
        -------
        Model
            The model.

        Raises
        ------
        GannetError
            If the file can't be read, is not a model, is damaged, or comes from a newer version of Gannet.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise GannetError(f"cannot read the model {os.fspath(path)}: {error.strerror}") from None
        return cls.from_bytes(data, os.fspath(path))


def _read(data: bytes, origin: str) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    from safetensors.numpy import load

    digest, _, text = _metadata(data).partition(" ")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise GannetError(f"{origin} is not a model of Gannet: make one with `gannet fit`")
    if header.get("version") != VERSION:
        raise GannetError(f"{origin} comes from another version of Gannet: update Gannet or fit it again")
    try:
        tensors = load(data)
    except Exception:  # damaged data can fail in any way
        raise GannetError(f"{origin} is truncated or damaged: copy it again or fit it again") from None
    if _digest(text, tensors) != digest:
        raise GannetError(f"{origin} is damaged: copy it again or fit it again")
    return header, tensors


def _metadata(data: bytes) -> str:
    """Return the metadata of a model file: its digest, a space, its JSON header; empty if it is not a model file.

    A safetensors file begins with eight bytes of length and then JSON. The library reads metadata from files only.
    """
    length = int.from_bytes(data[:8], "little")
    try:
        return str(json.loads(data[8 : 8 + min(length, len(data))])["__metadata__"][FORMAT])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _are_finite(arrays: Arrays) -> bool:
    return all(np.isfinite(value).all() for value in arrays.values())


def _can_encode(encoder: Encoder) -> bool:
    """Return whether the encoder can encode an item: its arrays may not fit together."""
    return encoder.n_features > 0 and encoder.encode(np.zeros((1, *encoder.item_shape), np.uint8)).size > 0


def _names_backbone(model: Model) -> bool:
    shape = model.encoder.item_shape
    if model.backbone == PIXELS:
        return shape == (model.image_size, model.image_size, 3)
    if model.backbone is None:
        return model.image_size is None and len(shape) == 1
    return isinstance(model.backbone, str) and isinstance(model.image_size, int) and len(shape) == 1


def _provenance(header: Mapping[str, Any]) -> Provenance | None:
    if "network" not in header:
        return None
    from gannet.backbones.provenance import Provenance

    return Provenance.from_header(header["network"])


def _texts(header: Mapping[str, Any], arrays: Arrays) -> TextRecord | None:
    if "texts" not in header:
        return None
    from gannet.backbones.texts import TextRecord

    return TextRecord.from_stored(header["texts"], arrays)


def _encoder_kind(kind: str, header: Mapping[str, Any], origin: str) -> type[Encoder]:
    if kind not in Encoder.kinds:
        # Methods define encoders of their own, which are known once the methods are imported.
        from gannet.hashers import all_hashers

        all_hashers()
    if kind not in Encoder.kinds:
        raise GannetError(
            f"{origin} does not hold a complete model: no installed method has its encoder {kind!r}; install what "
            f"brings the method {header.get('method')!r}"
        )
    return Encoder.kinds[kind]


def _parts(tensors: Arrays, prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _digest(header: str, tensors: Arrays) -> str:
    total = hashlib.blake2b(header.encode(errors="surrogatepass"), digest_size=16)
    update_digest(total, tensors, "{0} {1} {2};")
    return total.hexdigest()
