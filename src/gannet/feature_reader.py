"""Reading of images in the form that a method takes: features, features of several views, or pixels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from gannet.backbones import BackboneLike, Extractor, make_extractor
from gannet.backbones.augment import View, random_views
from gannet.backbones.cache import FeatureCache
from gannet.backbones.extract import extract, load
from gannet.data import ImageSource, MatrixSource, RawImage, Sample, Skipped, decode, digest, open_source, read_item
from gannet.data.images import PartialImage
from gannet.data.python_datasets import is_dataset, open_dataset
from gannet.data.python_images import as_raw
from gannet.data.sample import drawn
from gannet.errors import GannetError
from gannet.hashers.takes import FEATURES, FromFeatures, FromPixels, FromViews, Takes
from gannet.support.progress import progress

if TYPE_CHECKING:
    from gannet.backbones.provenance import Provenance
    from gannet.model import Model

_CHANNELS = {1, 3, 4}

Images = ImageSource | MatrixSource | str | os.PathLike[str] | Iterable[Any]


@dataclass(frozen=True)
class Features:
    """Features, views or pixels read from a source, with one row per item that could be read.

    Attributes
    ----------
    values : ndarray
        Features of shape ``(n, n_features)``, float32 for images, the matrix itself for a matrix; features of views of
        shape ``(n, n_views, n_features)``, float32; or pixels of shape ``(n, side, side, 3)``, uint8.
    paths : sequence of str
        Name of each row's item.
    digests : sequence of bytes
        Content digest of each row's item; empty for a matrix and for views.
    skipped : sequence of Skipped
        Items that could not be read, with the reason.
    takes : FromFeatures, FromViews or FromPixels
        Kind of the values.
    extractor : Extractor or None
        The image network that made the values; None for a matrix and for pixels.
    read : callable or None
        Returns the raw image of a row; None for a matrix and for pixels.
    """

    values: npt.NDArray[Any]
    paths: Sequence[str]
    digests: Sequence[bytes]
    skipped: Sequence[Skipped]
    takes: Takes = FEATURES
    extractor: Extractor | None = None
    read: Callable[[int], RawImage] | None = None


class FeatureReader:
    """Read what a method takes from images, with an image network and a cache of its features.

    Images are a path (whatever `gannet.data.open_source` takes), an opened source, or a list, array, Series or
    generator of images, each a path, the bytes of an image file, a PIL image, or an array or tensor: gray, RGB or RGBA,
    as integers of 0 to 255 or floats of 0 to 1. Gray images can also be one array ``(n, h, w)``. A matrix of features
    is read unchanged, without the network. A ``datasets.Dataset`` has one column of images or of number lists.

    Parameters
    ----------
    backbone : str, Backbone or object, default=None
        The image network, as `gannet.backbones.make_extractor` takes it; None is the default network. It is loaded when
        the first image needs it. An `Extractor` that is ready to run can be given too.
    cached : bool, default=True
        Whether features are kept in the cache on the disk, and taken from there.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet import FeatureReader
    >>> def mean_color(images):
    ...     return np.array([np.asarray(image).mean(axis=(0, 1)) for image in images])
    >>> pictures = list(np.zeros((4, 8, 8, 3), np.uint8))
    >>> FeatureReader(mean_color).read(pictures).values.shape
    (4, 3)
    """

    def __init__(self, backbone: BackboneLike | None = None, cached: bool = True) -> None:
        self._backbone = backbone
        self._cached = cached
        self._extractor: Extractor | None = None

    @classmethod
    def for_model(cls, model: Model, backbone: BackboneLike | None = None, cached: bool = True) -> FeatureReader:
        """Return the reader of the features or pixels that a model encodes.

        Parameters
        ----------
        model : Model
            Its image network is made from the weights that it stores.
        backbone : Backbone or object, default=None
            The network, if the model stores none and no installed distribution brings it.
        cached : bool, default=True
            Whether features are kept in the cache on the disk, and taken from there.

        Raises
        ------
        GannetError
            If the network is missing, or another one is given than the model names.
        """
        if not model.has_network:
            if backbone is not None:
                raise GannetError(f"a model of {model.takes.kind} has no image network: leave the backbone out")
            return cls()
        name, size = str(model.backbone), model.image_size
        if backbone is None:
            try:
                extractor = make_extractor(name, size, model.weights, model.provenance)
            except GannetError as error:
                raise GannetError(
                    f"the model needs the image network {name!r}, which it does not hold: install it, or pass it as in "
                    f"ImageHasher.load(path, backbone=...) ({error})"
                ) from None
        else:
            extractor = make_extractor(backbone, weights=model.weights)
        if model.provenance is not None:
            _check_weights(extractor, model.provenance)
        elif (extractor.name, extractor.size) != (name, size):
            raise GannetError(
                f"the model was made with the image network {name!r} at {size} pixels, not with {extractor.name!r} at "
                f"{extractor.size}"
            )
        return cls(extractor, cached)

    @property
    def extractor(self) -> Extractor:
        """The image network, made at the first access."""
        if self._extractor is None:
            self._extractor = make_extractor(self._backbone)
        return self._extractor

    def read(self, images: Images, takes: Takes = FEATURES) -> Features:
        """Read all images that can be read, or a matrix.

        Parameters
        ----------
        images : path, source or sequence of images
            See the class.
        takes : FromFeatures, FromViews or FromPixels, default=FromFeatures()
            What to read: features; features of several views, which are the same in every run; or the images' center
            squares, resized.

        Returns
        -------
        Features
            One row per item that could be read. Features that are in the cache are not computed again.

        Raises
        ------
        GannetError
            If the source can't be opened, or if views or pixels of a matrix are asked for.
        """
        source = open_images(images)
        if isinstance(source, MatrixSource):
            if not isinstance(takes, FromFeatures):
                raise GannetError(f"{source.name} is a matrix, which has no views and no pixels: give images")
            return Features(source.features, source.paths, (), ())
        match takes:
            case FromFeatures():
                return self.read_view(source, View())
            case FromViews(n_views, original_first):
                views = [View(), *random_views(n_views - 1)] if original_first else random_views(n_views)
                return replace(self._read_views(source, views), digests=(), takes=takes)
            case FromPixels(side):
                return _read_pixels(source, side)

    def read_view(self, images: Images, view: View) -> Features:
        """Read the features of one view of each image.

        Parameters
        ----------
        images : path, source or sequence of images
            Images, in any form that `read` takes.
        view : View
            The view, such as `gannet.backbones.augment.Mirrored`.

        Returns
        -------
        Features
            One row per image that could be read.
        """
        source = open_images(images)
        if isinstance(source, MatrixSource):
            raise GannetError(f"{source.name} is a matrix, which has no views and no pixels: give images")
        found = self._read_views(source, [view])
        return replace(found, values=found.values[:, 0])

    def _read_views(self, source: ImageSource, views: Sequence[View]) -> Features:
        """Return the features ``(n, n_views, n_features)`` of views of each image."""
        extractor, n_views = self.extractor, len(views)
        contents: dict[int, bytes] = {}

        def read(place: int) -> tuple[RawImage, bytes, View]:
            raw = source.read(place // n_views)
            contents[place // n_views] = digest(raw)
            return raw, contents[place // n_views], views[place % n_views]

        def prepare(item: tuple[RawImage, bytes, View], size: int) -> npt.NDArray[np.uint8]:
            raw, name, view = item
            return extractor.prepare(raw, view, name)

        def name_view(item: tuple[RawImage, bytes, View]) -> bytes:
            raw, name, view = item
            # The features of the readable part of a picture must not answer where whole pictures are asked for.
            return view.digest(digest(b"partial " + name) if isinstance(raw, PartialImage) else name)

        with FeatureCache.open_for(extractor.cache_key if self._cached else None, extractor.n_features) as cache:
            found = extract(len(source) * n_views, read, prepare, name_view, extractor, cache, "encoding")
        # Whether an image can be read does not depend on the view.
        kept = found.kept[::n_views] // n_views
        failures = [(place // n_views, reason) for place, reason in found.failures[::n_views]]
        skipped = [*source.skipped, *(Skipped(source.paths[i], reason) for i, reason in failures)]
        return Features(
            found.values.reshape(len(kept), n_views, extractor.n_features),
            [source.paths[i] for i in kept],
            [contents[i] for i in kept.tolist()],
            skipped,
            extractor=extractor,
            read=lambda row: source.read(int(kept[row])),
        )


def _read_pixels(source: ImageSource, side: int) -> Features:
    """Return the center squares of all images that can be read, resized: uint8 ``(n, side, side, 3)``."""
    kept: list[str] = []
    digests: list[bytes] = []
    skipped = list(source.skipped)
    values = np.empty((len(source), side, side, 3), np.uint8)
    with progress(len(source), "reading", "img") as bar:
        for item in load(len(source), source.read, lambda raw: decode(raw, side), digest):
            if item.image is None:
                skipped.append(Skipped(source.paths[item.index], str(item.failure)))
            else:
                values[len(kept)] = item.image
                kept.append(source.paths[item.index])
                digests.append(item.digest)
            bar.update(1)
    return Features(values[: len(kept)], kept, digests, skipped, FromPixels(side))


class _Listed(ImageSource):
    """Images given as a sequence."""

    def __init__(self, images: Sequence[Any] | npt.NDArray[Any]) -> None:
        super().__init__("images", [str(i) for i in range(len(images))], "#")
        self._images = images

    def read(self, index: int) -> RawImage:
        image = self._images[index]
        return read_item(os.fspath(image)) if isinstance(image, str | os.PathLike) else as_raw(image)


def open_images(images: Images, sample: Sample | None = None) -> ImageSource | MatrixSource:
    """Return images or a matrix, given in any of the forms that `FeatureReader` takes, or a sample, as a source."""
    if isinstance(images, str | os.PathLike):
        return open_source(images, sample=sample)
    if is_dataset(images):
        source = open_dataset(images)
    else:
        source = images if isinstance(images, ImageSource | MatrixSource) else _listed(images)
    return source if sample is None else drawn(source, sample)


def _listed(images: Iterable[Any]) -> ImageSource:
    """Return a sequence, an array or a generator of images as a source."""
    items: Any = images
    is_one = isinstance(items, bytes | bytearray | PIL.Image.Image) or _is_one_array(items)
    if is_one or isinstance(items, Mapping | Set) or not isinstance(items, Iterable):
        raise GannetError("images must be a path, a source or a list of images: put a single image into a list")
    return _Listed(items if isinstance(items, Sequence | np.ndarray) else list(items))


def _check_weights(extractor: Extractor, expected: Provenance) -> None:
    """Raise an error if the network's weights are not those that a model was made with."""
    found = extractor.provenance
    if found is not None and found.digest == expected.digest:
        return
    revision = f" (revision {expected.revision})" if expected.revision else ""
    other = f"those of {extractor.name!r} here have {found.digest[:16]}…" if found else f"not with {extractor.name!r}"
    raise GannetError(
        f"the model was made with weights whose SHA-256 is {expected.digest[:16]}…{revision}; {other}: give the same "
        "weights, or fit the model again"
    )


def _is_one_array(items: Any) -> bool:
    """Return whether an array or a tensor is one image; three dimensions without channels are gray images."""
    shape = getattr(items, "shape", ())
    if not shape or getattr(getattr(items, "dtype", None), "kind", "f") in "OUST":  # a Series of paths has a shape
        return False
    return len(shape) < 3 or (len(shape) == 3 and bool(_CHANNELS & {shape[0], shape[-1]}))


def first_reason(skipped: Iterable[Skipped]) -> str:
    """Return the name of the first skipped item and the reason, for an error message."""
    first = next(iter(skipped), None)
    return f"{first.path}: {first.reason}" if first else "the source is empty"
