"""Decode images with Pillow: any common format becomes RGB pixels, and every failure becomes one short reason."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
import logging
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError, _imaging

from gannet.errors import GannetError

#: An image that is not decoded yet: the content of an image file, or pixels ``(h, w, 3)``, uint8.
RawImage = bytes | NDArray[np.uint8]

#: Larger images are refused before a pixel is decoded. Pillow refuses the same size by default.
MAX_PIXELS = 178_956_970

#: Length in pixels to which `load_rgb` reduces the shorter side of larger images.
MAX_WHOLE_SIDE = 1024

# Only plain raster formats: others that Pillow reads start outside programs (EPS) or are not photographs.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_EXIF_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow warns about harmless flaws (odd EXIF, large sizes). The filter is set once, not around each call, because
# `warnings.catch_warnings` is not safe in several threads.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())


def _silence_libtiff() -> None:
    """Keep libtiff from printing to standard error. Pillow raises its errors all the same."""
    # On platforms where Pillow's library does not export the function, libtiff goes on printing.
    with contextlib.suppress(OSError, AttributeError):
        set_handler = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
        set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        set_handler(None)


_silence_libtiff()


def decode(raw: RawImage, size: int) -> NDArray[np.uint8]:
    """Return the center square of an image, resized.

    EXIF orientation is applied, transparent pixels are blended with white, the shorter side is resized to ``size``
    (bicubic) and the center is cut out. For an animation, the first frame is used. 16-bit gray values are scaled from
    0..65535 to 0..255. 32-bit gray values have no fixed range and are scaled from their minimum and maximum.

    Parameters
    ----------
    raw : bytes or ndarray of shape (h, w, 3), dtype uint8
        The content of an image file, or RGB pixels.
    size : int
        Side of the square in pixels.

    Returns
    -------
    ndarray of shape (size, size, 3), dtype uint8
        RGB pixels.

    Raises
    ------
    GannetError
        If the data are empty, not an image, damaged, or above ``MAX_PIXELS``.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.data import decode
    >>> decode(np.zeros((20, 30, 3), np.uint8), 16).shape
    (16, 16, 3)
    """
    image, orientation = _load(raw, 2 * size)
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    # The center square is symmetric, so that it can be cut out and resized first; turning the small result is exact.
    square = image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    return np.array(_turn(_on_white(square), orientation), dtype=np.uint8)


def load_rgb(raw: RawImage) -> NDArray[np.uint8]:
    """Return the whole image as RGB pixels ``(h, w, 3)``, uint8, turned upright and blended with white.

    An image with more than `MAX_WHOLE_SIDE` pixels on its shorter side is reduced to that.

    Raises
    ------
    GannetError
        As for `decode`.
    """
    image, orientation = _load(raw, 2 * MAX_WHOLE_SIDE)
    width, height = image.size
    factor = MAX_WHOLE_SIDE / min(width, height)
    if factor < 1:
        image = image.resize((round(factor * width), round(factor * height)), Image.Resampling.BICUBIC)
    return np.array(_turn(_on_white(image), orientation), dtype=np.uint8)


def thumbnail(raw: RawImage, size: int) -> bytes:
    """Return the image as a JPEG file.

    Parameters
    ----------
    raw : bytes or ndarray of shape (h, w, 3), dtype uint8
        The content of an image file, or RGB pixels.
    size : int
        Largest length of the longer side in pixels. Smaller images are not enlarged.

    Raises
    ------
    GannetError
        As for `decode`.
    """
    image, orientation = _load(raw, 2 * size)
    image.thumbnail((size, size), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    _turn(_on_white(image), orientation).save(out, "JPEG", quality=90)
    return out.getvalue()


def full_image(raw: RawImage) -> Image.Image:
    """Return the whole image, turned upright: in RGBA, or in its own mode if its values have more than 8 bits.

    Raises
    ------
    GannetError
        As for `decode`.
    """
    if isinstance(raw, np.ndarray):
        return Image.fromarray(raw).convert("RGBA")
    image = _open(raw)
    try:
        image.load()
        orientation = _orientation(image)
        deep = image.mode in ("I", "F") or image.mode.startswith("I;")
        return _turn(image if deep else image.convert("RGBA"), orientation)
    except Exception as error:  # decoders raise errors of any type on damaged data
        raise GannetError("damaged image file") from error


def check_image(raw: bytes, max_pixels: int) -> None:
    """Check the header of an image file. No pixel is decoded.

    Raises
    ------
    GannetError
        If the data are empty, not an image, or above ``max_pixels``.
    """
    if not raw:
        raise GannetError("empty file")
    _open(raw, max_pixels)


def digest(raw: RawImage) -> bytes:
    """Return 16 bytes that identify the content: BLAKE2b of the file, or of the shape and the pixels."""
    state = hashlib.blake2b(digest_size=16)
    if isinstance(raw, np.ndarray):
        state.update(f"pixels {raw.shape} ".encode())
        state.update(np.ascontiguousarray(raw).data)
    else:
        state.update(raw)
    return state.digest()


def _load(raw: RawImage, wanted: int) -> tuple[Image.Image, int]:
    """Return the decoded image in RGB or RGBA, and its EXIF orientation.

    A JPEG may be decoded at a reduced size, with both sides at least ``wanted`` pixels.
    """
    if isinstance(raw, np.ndarray):
        if raw.dtype != np.uint8 or raw.ndim != 3 or raw.shape[2] != 3 or raw.size == 0:
            raise GannetError(f"pixels must be a (h, w, 3) uint8 array, not {raw.shape} {raw.dtype}")
        return Image.fromarray(raw), 1
    if not raw:
        raise GannetError("empty file")
    image = _open(raw)
    try:
        image.draft("RGB", (wanted, wanted))
        image.load()
        # The orientation is read after loading: Pillow turns a TIFF, and finds a late EXIF chunk of a PNG, only then.
        return _to_8_bit(image), _orientation(image)
    except Exception as error:  # decoders raise errors of any type on damaged data
        truncated = "truncated" in str(error)
        raise GannetError("truncated image file" if truncated else "damaged image file") from error


def _open(raw: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read the header alone, and refuse images that must not be decoded."""
    try:
        image = Image.open(io.BytesIO(raw), formats=_FORMATS)
    except UnidentifiedImageError:
        raise GannetError("not an image (JPEG, PNG, WebP, GIF, BMP or TIFF)") from None
    except Image.DecompressionBombError:
        raise GannetError(f"too many pixels (above {MAX_PIXELS // 10**6} million)") from None
    except Exception as error:  # format plugins raise errors of any type on damaged headers
        raise GannetError("damaged image file") from error
    width, height = image.size
    if width < 1 or height < 1:
        raise GannetError("image without pixels")
    if width * height > max_pixels:
        raise GannetError(f"too many pixels ({width} x {height}, above {max_pixels // 10**6} million)")
    return image


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Return the image in RGB, or in RGBA if it has transparency."""
    if image.mode.startswith("I;16"):
        return _from_gray(np.asarray(image), 0, 65535)
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, dtype=np.float64))
        return _from_gray(values, float(values.min()), float(values.max()))
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _from_gray(values: NDArray[Any], low: float, high: float) -> Image.Image:
    scale = 255 / (high - low) if high > low else 0.0
    gray = np.rint((values.astype(np.float64) - low) * scale).astype(np.uint8)
    return Image.fromarray(gray).convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block leaves the pixels usable
        return 1


def _turn(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)
