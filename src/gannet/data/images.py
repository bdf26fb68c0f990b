"""Decode images with Pillow: any common format becomes RGB pixels, and every failure becomes one short reason."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
import logging
import struct
import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError, _imaging

from gannet.data._eight_bit import LARGE_PIXELS, on_ground, reduction, strips, tiff_tag, to_8_bit
from gannet.data.formats import FORMATS, HEIF_HINT, is_heif, register_heif
from gannet.errors import GannetError
from gannet.support.memory import decoding_budget

#: An image that is not decoded yet: the content of an image file, or pixels ``(h, w, 3)``, uint8.
RawImage = bytes | NDArray[np.uint8]

#: Larger images are refused before a pixel is decoded. Pillow refuses the same size by default.
MAX_PIXELS = 178_956_970

#: Larger JPEG 2000 images are refused by `check_image`: their decoder stops all other threads while it works.
MAX_CHECKED_JPEG_2000_PIXELS = 4_000_000

#: Length in pixels to which `load_rgb` reduces the shorter side of larger images.
MAX_WHOLE_SIDE = 1024

# No format stores more pixels in a byte, unless nearly all of them are equal.
_PIXELS_PER_BYTE = 50_000
# A progressive JPEG has about ten scans. Each takes as long as the pixels demand, however few bytes it has.
_MAX_SCANS = 500
# Bytes at the beginning of a file by which Pillow recognizes the format.
_MAGIC_BYTES = 16
_SCAN_MARKER = b"\xff\xda"
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
# What decoders take in addition to the decoded image, measured.
_EXTRA_BYTES_PER_PIXEL = {"WEBP": 12, "AVIF": 12, "JPEG2000": 16, "HEIF": 12, "TIFF": 4, "GIF": 4}
_NO_MEMORY = "not enough memory for this image"
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


class PartialImage(bytes):
    """The content of an image file that is decoded as far as it goes if it is cut off."""


def decode(raw: RawImage, size: int) -> NDArray[np.uint8]:
    """Return the center square of an image, resized.

    EXIF orientation is applied, the shorter side is resized to ``size`` (bicubic) and the center is cut out. For an
    animation, the first frame is used. Transparent pixels are blended with white, or with black or gray if the visible
    part would disappear in white. 16-bit gray values are scaled from the range of 8, 10, 12, 14 or 16 bits that nearly
    all of them need, or from their own range if it is less than an eighth of that. 32-bit gray values are scaled from
    the range that the file declares, or from their minimum and maximum, without infinities, missing values and a few
    values far from the others.

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
        If the data are empty, not an image, damaged, or above ``MAX_PIXELS``, or too large for the memory here.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.data import decode
    >>> decode(np.zeros((20, 30, 3), np.uint8), 16).shape
    (16, 16, 3)
    """
    with _loaded(raw, 2 * size) as (image, orientation):
        width, height = image.size
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        # The center square is symmetric, so that it can be cut out and resized first; turning the small result is
        # exact.
        square = image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    return np.array(_turn(on_ground(square), orientation), dtype=np.uint8)


def load_rgb(raw: RawImage, max_side: int | None = MAX_WHOLE_SIDE) -> NDArray[np.uint8]:
    """Return the whole image as RGB pixels ``(h, w, 3)``, uint8.

    It is turned upright and blended with a ground as by `decode`. An image with more than ``max_side`` pixels on its
    shorter side is reduced to that; with None, it is not reduced.
    """
    limit = max_side or MAX_PIXELS
    with _loaded(raw, 2 * limit) as (image, orientation):
        width, height = image.size
        factor = limit / min(width, height)
        if factor < 1:
            image = image.resize((round(factor * width), round(factor * height)), Image.Resampling.BICUBIC)
        return np.array(_turn(on_ground(image), orientation), dtype=np.uint8)


def pixels_of(image: Image.Image) -> NDArray[np.uint8]:
    """Return a Pillow image as RGB pixels ``(h, w, 3)``, uint8, turned upright and blended with a ground.

    Raises a `GannetError` if its file is damaged, or if it has no pixels.
    """
    if 0 in image.size:
        raise GannetError("image without pixels")
    with _damaged():
        image.load()
        whole = to_8_bit(image, max(image.size))  # not reduced
        return np.array(_turn(on_ground(whole), _orientation(image)), dtype=np.uint8)


def thumbnail(raw: RawImage, size: int, truncated: bool = False) -> bytes:
    """Return the image as a JPEG file whose longer side has at most ``size`` pixels; smaller images are not enlarged.

    With ``truncated``, an image that is cut off is shown as far as it goes. Errors are those of `decode`.
    """
    if truncated and isinstance(raw, bytes):
        raw = PartialImage(raw)
    with _loaded(raw, 2 * size) as (image, orientation):
        image.thumbnail((size, size), Image.Resampling.BICUBIC)
        out = io.BytesIO()
        _turn(on_ground(image), orientation).save(out, "JPEG", quality=90)
    return out.getvalue()


def pixel_digest(raw: RawImage) -> bytes:
    """Return 16 bytes that identify the pixels, upright and in full depth, whatever format they are stored in."""
    if isinstance(raw, np.ndarray):
        return _pixel_digest(Image.fromarray(raw))
    image = _open(raw)
    with _reserved(image, _stored_size(image), max(image.size)), _damaged():
        _load_pixels(image, isinstance(raw, PartialImage))
        return _pixel_digest(_turn(image, _orientation(image)))


def _pixel_digest(image: Image.Image) -> bytes:
    is_deep = image.mode in ("I", "F") or image.mode.startswith("I;")
    mode = image.mode if is_deep else "RGBA"
    state = hashlib.blake2b(f"{mode} {image.size} ".encode(), digest_size=16)
    for _, strip in strips(image, 1):
        state.update(strip.convert(mode).tobytes())
    return state.digest()


def check_image(raw: bytes, max_pixels: int) -> None:
    """Check the header of an image file that a server is asked to decode. No pixel is decoded.

    Raises a `GannetError` if the data are empty, not an image, or above ``max_pixels``, which is lower for JPEG 2000.
    """
    if not raw:
        raise GannetError("empty file")
    image = _open(raw, max_pixels)
    width, height = image.size
    if image.format == "JPEG2000" and width * height > MAX_CHECKED_JPEG_2000_PIXELS:
        raise GannetError(
            f"too many pixels for JPEG 2000 ({width} x {height}, above {MAX_CHECKED_JPEG_2000_PIXELS // 10**6} "
            "million): send a smaller image or another format"
        )


def digest(raw: RawImage) -> bytes:
    """Return 16 bytes that identify the content: BLAKE2b of the file, or of the shape and the pixels."""
    state = hashlib.blake2b(digest_size=16)
    if isinstance(raw, np.ndarray):
        state.update(f"pixels {raw.shape} ".encode())
        state.update(np.ascontiguousarray(raw).data)
    else:
        state.update(raw)
    return state.digest()


@contextlib.contextmanager
def _loaded(raw: RawImage, wanted: int) -> Iterator[tuple[Image.Image, int]]:
    """Yield the decoded image in RGB or RGBA, and its EXIF orientation.

    A JPEG and a large image may be reduced, with both sides at least ``wanted`` pixels. The memory that decoding takes
    is reserved in the budget of all decoders until the caller is done.
    """
    if isinstance(raw, np.ndarray):
        if raw.dtype != np.uint8 or raw.ndim != 3 or raw.shape[2] != 3 or raw.size == 0:
            raise GannetError(f"pixels must be a (h, w, 3) uint8 array, not {raw.shape} {raw.dtype}")
        yield Image.fromarray(raw), 1
        return
    if not raw:
        raise GannetError("empty file")
    image = _open(raw)
    full_size = _stored_size(image)
    with _damaged():
        image.draft("RGB", (wanted, wanted))
    with _reserved(image, full_size, wanted):
        with _damaged():
            _load_pixels(image, isinstance(raw, PartialImage))
            # The orientation is read after loading: Pillow turns a TIFF, and finds a late EXIF chunk of a PNG, only
            # then.
            orientation = _orientation(image)
            image = to_8_bit(image, wanted)
        yield image, orientation


@contextlib.contextmanager
def _reserved(image: Image.Image, full_size: tuple[int, int], wanted: int) -> Iterator[None]:
    """Reserve the memory that decoding takes; raise a `GannetError` if it is more than there is."""
    n_bytes, budget = _decoding_bytes(image, full_size, wanted), decoding_budget()
    if n_bytes > budget.total:
        raise GannetError(
            f"too many pixels for the memory here ({full_size[0]} x {full_size[1]} in {image.format} take about "
            f"{n_bytes >> 20:,} MB; images may take {budget.total >> 20:,} MB, a quarter of the memory)"
        )
    with budget.reserve(n_bytes):
        yield


@contextlib.contextmanager
def _damaged() -> Iterator[None]:
    """Turn the errors of decoders, which raise any type on damaged data, into one short reason."""
    try:
        yield
    except MemoryError as error:
        raise GannetError(_NO_MEMORY) from error
    except Exception as error:
        truncated = "truncated" in str(error)
        raise GannetError("truncated image file" if truncated else "damaged image file") from error


def _decoding_bytes(image: Image.Image, full_size: tuple[int, int], wanted: int) -> int:
    """Return about how many bytes it takes to decode an opened image, with the conversion in strips."""
    native = 1 if image.mode in ("1", "L", "P") else 2 if image.mode.startswith("I;16") else 4
    full = full_size[0] * full_size[1]
    converted = 4 * image.width * image.height // reduction(image.size, wanted) ** 2
    if image.format in ("JPEG", "MPO"):
        # A progressive JPEG is read as a whole, in up to four channels of 16-bit coefficients.
        coefficients = 2 * len(image.getbands()) * full if "progressive" in image.info else 0
        return coefficients + native * image.width * image.height + converted
    return (native + _EXTRA_BYTES_PER_PIXEL.get(str(image.format), 0)) * full + converted


def _load_pixels(image: Image.Image, partial: bool) -> None:
    """Decode the pixels; if the file is cut off and ``partial`` is true, the rest stays black."""
    try:
        image.load()
    except OSError as error:
        if not partial or "truncated" not in str(error):
            raise
        image.tile = []  # type: ignore[attr-defined]
        image.load()  # returns the part that could be decoded


def _open(raw: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read the header alone, and refuse images that must not be decoded."""
    if is_heif(raw) and not register_heif():
        raise GannetError(HEIF_HINT)
    try:
        image = identify(raw)
    except UnidentifiedImageError:
        raise GannetError(f"not an image ({', '.join(FORMATS[:-1])} or {FORMATS[-1]})") from None
    except Image.DecompressionBombError:
        raise GannetError(f"too many pixels (above {max_pixels // 10**6} million)") from None
    except MemoryError as error:
        raise GannetError(_NO_MEMORY) from error
    except Exception as error:  # format plugins raise errors of any type on damaged headers
        raise GannetError("damaged image file") from error
    if 0 in image.size:
        raise GannetError("image without pixels")
    width, height = _stored_size(image)
    if width * height > max_pixels:
        raise GannetError(f"too many pixels ({width} x {height}, above {max_pixels // 10**6} million)")
    if width * height > max(LARGE_PIXELS, _PIXELS_PER_BYTE * len(raw)):
        raise GannetError(f"too many pixels ({width} x {height}) for a file of {len(raw):,} bytes")
    if image.format in ("JPEG", "MPO") and raw.count(_SCAN_MARKER) > _MAX_SCANS:
        raise GannetError(f"too many scans ({raw.count(_SCAN_MARKER):,}, above {_MAX_SCANS})")
    return image


def identify(raw: bytes) -> Image.Image:
    """Read the header of an image file as `PIL.Image.open` does, without its warning about large images.

    Pillow warns about images with more than half of `MAX_PIXELS`; here, the memory for decoding is what limits them.
    The filter above hides the warning too, but not from programs that set filters of their own. Raises Pillow's errors.
    """
    Image.init()
    for factory, accepts in (Image.OPEN[name] for name in FORMATS if name in Image.OPEN):
        with contextlib.suppress(SyntaxError, IndexError, TypeError, struct.error):
            accepted = accepts is None or accepts(raw[:_MAGIC_BYTES])
            if accepted and not isinstance(accepted, str):  # a text says why Pillow cannot read the format
                return factory(io.BytesIO(raw), "")
    raise UnidentifiedImageError


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height of an opened image, or of its tiles if these are larger: a tile is decoded whole."""
    width, height = image.size
    if image.format != "TIFF":
        return width, height
    # A tag that is missing is NaN, and may be any other number.
    tile_width, tile_height = (min(tiff_tag(image, tag), 1 << 32) for tag in (_TILE_WIDTH, _TILE_HEIGHT))
    return int(max(width, tile_width)), int(max(height, tile_height))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block leaves the pixels usable
        return 1


def _turn(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)
