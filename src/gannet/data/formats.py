"""The image formats that are read: Pillow's, and HEIC if pillow-heif is installed."""

from __future__ import annotations

import functools
import importlib.util

from PIL import features

# Only plain raster formats: others that Pillow reads start outside programs (EPS) or are not photographs.
_ALWAYS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jif", ".jfif", ".pjpeg", ".pjp", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "TIFF": (".tif", ".tiff"),
}
_AVIF = {"AVIF": (".avif",)}
_JPEG_2000 = {"JPEG2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c")}
_HEIF = {"HEIF": (".heic", ".heif", ".hif")}
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")

_HAS_HEIF = importlib.util.find_spec("pillow_heif") is not None
_READ = {
    **_ALWAYS,
    **(_AVIF if "avif" in features.modules and features.check_module("avif") else {}),
    **(_JPEG_2000 if features.check_codec("jpg_2000") else {}),
    **(_HEIF if _HAS_HEIF else {}),
}

#: Pillow's names of the formats that are read.
FORMATS = tuple(_READ)
#: File name extensions taken as images, in any case.
IMAGE_EXTENSIONS = frozenset(extension for group in _READ.values() for extension in group)
#: Image formats that are not read here. Files of these are reported by name, with a hint.
UNREAD_EXTENSIONS = (
    frozenset({".jxl", ".svg"}.union(*_AVIF.values(), *_JPEG_2000.values(), *_HEIF.values())) - IMAGE_EXTENSIONS
)
HEIF_HINT = "HEIC is read where pillow-heif is installed: pip install 'gannet-hash[heic]', or convert it to JPEG"


def unread(extension: str) -> str:
    """Return why files with an extension of `UNREAD_EXTENSIONS` are not read."""
    is_heif = extension in _HEIF["HEIF"]
    return HEIF_HINT if is_heif else "this picture format is not read; convert it to JPEG or PNG"


def is_heif(raw: bytes) -> bool:
    """Return whether the content of a file is HEIC."""
    return raw[4:8] == b"ftyp" and raw[8:12] in _HEIF_BRANDS


@functools.cache
def register_heif() -> bool:
    """Let Pillow read HEIC, if pillow-heif is installed; return whether it is."""
    if _HAS_HEIF:
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
    return _HAS_HEIF
