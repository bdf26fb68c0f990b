"""The model file: everything that turns a new item into a code, as safetensors with a JSON header.

Loading runs no code from the file: arrays and plain text only, never pickle. A digest over the header and all arrays
is checked before anything is used.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gannet.encoders import Encoder
from gannet.errors import GannetError
from gannet.support.arrays import update_digest
from gannet.support.atomic import write_atomically

FORMAT = "gannet-model"
VERSION = 1
PIXELS = "pixels"
"""What stands in place of a backbone's name where the encoder reads the image itself."""

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Model:
    """A fitted encoder and, for images, the backbone it reads features from.

    Attributes:
        encoder: from features to codes.
        method: name of the hasher that learned it.
        settings: the hasher's settings, for the record.
        backbone: name of the image network, `PIXELS` where there is none and the encoder reads the image itself, or
            None for a model of feature vectors.
        image_size: side in pixels that the backbone, or the encoder, sees, or None.
        weights: the backbone's arrays by name; empty where there is none.
    """

    encoder: Encoder
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    backbone: str | None = None
    image_size: int | None = None
    weights: Arrays = field(default_factory=dict)

    @property
    def n_bits(self) -> int:
        """Length of the codes."""
        return self.encoder.n_bits

    @functools.cached_property
    def id(self) -> str:
        """SHA-256 (hex) of the model file: what a collection knows its model by."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """Return the model as the bytes of a model file."""
        from safetensors.numpy import save

        tensors = {f"encoder.{name}": value for name, value in self.encoder.arrays().items()}
        tensors |= {f"backbone.{name}": value for name, value in self.weights.items()}
        header = {
            "version": VERSION,
            "method": self.method,
            "settings": dict(self.settings),
            "encoder": self.encoder.kind,
            "n_bits": self.n_bits,
            "backbone": self.backbone,
            "image_size": self.image_size,
        }
        text = json.dumps(header, default=str)
        contiguous = {name: np.asarray(value, order="C") for name, value in tensors.items()}
        # safetensors writes the buffer as it lies, so the order must be C.
        return save(contiguous, metadata={FORMAT: f"{_digest(text, tensors)} {text}"})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model file in one step: a kill or a full disk leaves what was there before."""
        write_atomically(Path(path), self.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes, origin: str = "the model") -> Model:
        """Read a model from the bytes of a model file; ``origin`` names it in errors."""
        header, tensors = _read(data, origin)
        encoder = _parts(tensors, "encoder.")
        try:
            made = _encoder_kind(str(header["encoder"]))(**encoder)
            model = cls(
                made,
                str(header["method"]),
                dict(header["settings"]),
                header["backbone"],
                header["image_size"],
                _parts(tensors, "backbone."),
            )
            consistent = model.n_bits == header["n_bits"] and _can_encode(made) and _names_backbone(model)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            consistent = False
        if not consistent:
            raise GannetError(f"{origin} does not hold a complete model: make it again with `gannet fit`")
        return model

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Model:
        """Read a model file.

        Raises: `GannetError` where it cannot be read, is not a model, is damaged, or comes from a newer version.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise GannetError(f"cannot read the model {os.fspath(path)}: {error.strerror}") from None
        return cls.from_bytes(data, os.fspath(path))


def _read(data: bytes, origin: str) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    from safetensors import SafetensorError
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
    except (SafetensorError, KeyError, ValueError, TypeError):
        raise GannetError(f"{origin} is truncated or damaged: copy it again or fit it again") from None
    if _digest(text, tensors) != digest:
        raise GannetError(f"{origin} is damaged: copy it again or fit it again")
    return header, tensors


def _metadata(data: bytes) -> str:
    """Return what a model file says of itself: its digest, a space, its JSON header; empty where it is not one.

    The layout is safetensors': eight bytes of length, then JSON. The library reads metadata from files only.
    """
    length = int.from_bytes(data[:8], "little")
    try:
        return str(json.loads(data[8 : 8 + min(length, len(data))])["__metadata__"][FORMAT])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _can_encode(encoder: Encoder) -> bool:
    """Try the encoder on one item, as its arrays may not fit each other."""
    return encoder.n_features > 0 and encoder.encode(np.zeros((1, *encoder.item_shape), np.uint8)).size > 0


def _names_backbone(model: Model) -> bool:
    shape = model.encoder.item_shape
    if model.backbone == PIXELS:
        return shape == (model.image_size, model.image_size, 3)
    if model.backbone is None:
        return model.image_size is None and len(shape) == 1
    return isinstance(model.backbone, str) and isinstance(model.image_size, int) and len(shape) == 1


def _encoder_kind(kind: str) -> type[Encoder]:
    if kind not in Encoder.kinds:
        # Methods may bring encoders of their own, which are known once the methods are loaded.
        from gannet.hashers import all_hashers

        all_hashers()
    return Encoder.kinds[kind]


def _parts(tensors: Arrays, prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _digest(header: str, tensors: Arrays) -> str:
    total = hashlib.blake2b(header.encode(errors="surrogatepass"), digest_size=16)
    update_digest(total, tensors, "{0} {1} {2};")
    return total.hexdigest()
