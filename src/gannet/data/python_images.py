"""Images as Python programs hold them: PIL images, arrays of any usual form and tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gannet.data.images import RawImage, pixels_of
from gannet.errors import GannetError

_CHANNELS = (1, 2, 3, 4)


def as_raw(image: Any) -> RawImage:
    """Return the bytes of an image file unchanged, and any other image as RGB pixels.

    Arrays and tensors are gray ``(h, w)`` or have 1 to 4 channels, last (NumPy) or first (torch): gray, gray and alpha,
    RGB or RGBA. Integers are 0 to 255, 16-bit ones are scaled as in a file, and floats are 0 to 1 or 0 to 255. Raises a
    `GannetError` for anything that is no image.
    """
    if isinstance(image, bytes):
        return image
    if isinstance(image, bytearray | memoryview):
        return bytes(image)
    if isinstance(image, Image.Image):
        return pixels_of(image)
    is_tensor = hasattr(image, "detach") and hasattr(image, "cpu")
    array = np.asarray(image.detach().cpu().float() if is_tensor and image.is_floating_point() else image)
    if array.dtype.kind not in "buif" or array.ndim not in (2, 3) or array.size == 0:
        raise GannetError(
            "an image must be a path, the bytes of a file, a PIL image, or an array (h, w) or (h, w, channels) of "
            f"numbers, not {_form(image, array)}"
        )
    if array.ndim == 3:
        first, last = array.shape[0] in _CHANNELS, array.shape[2] in _CHANNELS
        if first and (is_tensor or not last):
            array = array.transpose(1, 2, 0)
        elif not last:
            raise GannetError(f"an array of shape {array.shape} is no image: it must be (h, w) or (h, w, channels)")
        array = array[..., 0] if array.shape[2] == 1 else array
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3:
        return np.ascontiguousarray(array)
    if array.dtype == np.uint16 and array.ndim == 2:
        return pixels_of(Image.fromarray(np.ascontiguousarray(array)))
    return pixels_of(Image.fromarray(np.ascontiguousarray(_to_bytes(array))))


def _to_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return values of 0 to 1 or 0 to 255 as bytes."""
    if array.dtype == np.uint8:
        return array
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 255):  # NaN too
        raise GannetError(f"an image of {array.dtype} must hold 0 to 1 (floats) or 0 to 255, not {low:g} to {high:g}")
    scale = 255 if array.dtype.kind == "b" or (array.dtype.kind == "f" and high <= 1) else 1
    return np.rint(array.astype(np.float32) * scale).astype(np.uint8)


def _form(image: Any, array: NDArray[Any]) -> str:
    return f"{type(image).__name__} of shape {array.shape}" if array.ndim else type(image).__name__
