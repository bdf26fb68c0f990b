"""From images to codes: preprocessing, backbone and hasher tied together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from gannet.backbones import DEFAULT_BACKBONE, get_backbone
from gannet.backbones.augment import View, random_views
from gannet.backbones.cache import FeatureCache
from gannet.backbones.extract import extract, load
from gannet.backbones.runtime import FeatureExtractor
from gannet.codes import Codes
from gannet.data import ImageSource, MatrixSource, RawImage, Skipped, decode, digest, open_source, read_item
from gannet.errors import GannetError
from gannet.hashers.takes import FromFeatures, FromPixels, FromViews
from gannet.model import PIXELS, Model
from gannet.support.progress import progress

if TYPE_CHECKING:
    from gannet.hashers.base import Hasher
    from gannet.training.fine_tuning import FineTuning

Images = ImageSource | MatrixSource | str | os.PathLike[str] | Sequence[RawImage | str | os.PathLike[str]]


@dataclass(frozen=True)
class Features:
    """What a source gave: a row for each item that could be read.

    Attributes:
        values: ``(n, n_features)``, float32 for images, the matrix itself for a matrix; of views
            ``(n, n_views, n_features)``; where a method reads images themselves, uint8 ``(n, side, side, 3)``.
        paths: name of each row's item.
        digests: content digest of each row's item; empty for a matrix and for views.
        skipped: what could not be read, and why.
        read: a row's raw image; None for a matrix.
    """

    values: npt.NDArray[Any]
    paths: Sequence[str]
    digests: Sequence[bytes]
    skipped: Sequence[Skipped]
    read: Callable[[int], RawImage] | None = None


class ImageHasher:
    """Learn codes from images and encode new ones.

    Images are a path (whatever `gannet.data.open_source` takes), an opened source, or a sequence of images, each a
    path, the bytes of an image file or uint8 pixels ``(h, w, 3)``. With a matrix of features as source no image
    network is involved and ``backbone`` is not used; nor is it where the hasher reads pixels itself.

    Parameters:
        hasher: an unfitted `Hasher`; UHGA of 64 bits where None.
        backbone: name of the image network.
        train_backbone: whether to train the image network too, from pixels, with a method that learns from pairs; its
            frozen features still say which images are similar. `FineTuning` sets how, True stands for its defaults.
        checkpoints: folder in which such a training keeps its state, and goes on from what it finds there.
    """

    def __init__(
        self,
        hasher: Hasher | None = None,
        backbone: str = DEFAULT_BACKBONE,
        train_backbone: bool | FineTuning = False,
        checkpoints: str | os.PathLike[str] | None = None,
    ) -> None:
        if hasher is None:
            from gannet.methods.uhga import UHGA

            hasher = UHGA()
        self.hasher: Hasher | None = hasher
        self.backbone = backbone
        self.fine_tuning = _fine_tuning(hasher, train_backbone)
        if checkpoints is not None and self.fine_tuning is None:
            raise GannetError("checkpoints are kept where the image network is trained: ask for that too")
        self.checkpoints = checkpoints
        self._model: Model | None = None
        self._extractor: FeatureExtractor | None = None

    @property
    def model(self) -> Model:
        """The fitted model; GannetError before `fit`."""
        if self._model is None:
            raise GannetError("this ImageHasher is not fitted: call fit, or load a saved one")
        return self._model

    def fit(self, images: Images) -> Self:
        """Learn from images, without labels.

        Raises: `GannetError` if no image can be read, or for fewer images than bits.
        """
        self._unfitted()
        self._model = None  # what was learned before says nothing of what these images are
        if self.fine_tuning:
            self._extractor = None  # similarities are those of the network as published
        self.learn(self.training(images))
        return self

    def training(self, images: Images) -> Features:
        """Return what the hasher learns from: features, features of views, or pixels.

        Raises: `GannetError` for a matrix where the hasher learns from images.
        """
        source = _opened(images)
        hasher = self._unfitted()
        if hasher.takes != FromFeatures() and isinstance(source, MatrixSource):
            from gannet.hashers.images import learns_from_images

            raise learns_from_images(hasher.name)
        takes = hasher.takes
        if isinstance(takes, FromViews):
            return self.views(source, takes.n_views, takes.original_first)
        return self.features(source)

    def learn(self, features: Features) -> None:
        """Learn from features that `training` returned, so that they need not be computed twice."""
        hasher = self._unfitted()
        if not len(features.values):
            raise GannetError("none of the images could be read: " + _first_reason(features.skipped))
        if self.fine_tuning:
            self._model = self._train_network(hasher, features, self.fine_tuning)
            return
        hasher.fit(features.values)
        settings = hasher.get_params()
        if isinstance(hasher.takes, FromPixels):
            self._model = Model(hasher.encoder_, hasher.name, settings, PIXELS, hasher.takes.side)
        elif self._extractor is None:
            self._model = Model(hasher.encoder_, hasher.name, settings)
        else:
            network = self._extractor.backbone
            self._model = Model(
                hasher.encoder_, hasher.name, settings, network.name, network.size, dict(self._extractor.weights)
            )

    def _unfitted(self) -> Any:
        if self.hasher is None:
            raise GannetError("a loaded model is not trained again: make a new ImageHasher with a hasher")
        return self.hasher

    def _train_network(self, hasher: Hasher, features: Features, fine_tuning: FineTuning) -> Model:
        """Train hasher and backbone together; from now on features are those of the new backbone."""
        from gannet.hashers.whole_network import TrainingImages, check_trains_networks, train_network

        if self._extractor is None or features.read is None:
            raise GannetError("a matrix of features involves no image network that could be trained: give images")
        images = TrainingImages(features.values, features.digests, features.read)
        backbone = self._extractor.backbone
        folder = None if self.checkpoints is None else Path(self.checkpoints)
        pairwise = check_trains_networks(hasher)
        encoder, weights = train_network(pairwise, images, backbone, self._extractor.weights, fine_tuning, folder)
        self._extractor = FeatureExtractor(backbone, weights)
        settings = {**hasher.get_params(), "train_backbone": asdict(fine_tuning)}
        return Model(encoder, hasher.name, settings, backbone.name, backbone.size, dict(weights))

    def encode(self, images: Images) -> Codes:
        """Return the codes ``(n, ceil(n_bits / 8))`` of images, in their order.

        Raises: `GannetError` for an image that cannot be read (`features` skips those instead), or for a matrix
            where the model is one of images.
        """
        found = self.features(images)
        if found.skipped:
            raise GannetError(f"cannot read {_first_reason(found.skipped)}")
        return self.model.encoder.encode(found.values)

    def features(self, images: Images) -> Features:
        """Return what the model encodes: features of all images that can be read, from the cache where it has them,
        or, for a method that reads images themselves, their pixels.

        Raises: `GannetError` for a matrix where the model is one of images, or the other way round.
        """
        source = _opened(images)
        self.check_source(source)
        if isinstance(source, MatrixSource):
            self._extractor = None
            return Features(source.features, source.paths, (), ())
        side = self._side()
        return self.pixels(source, side) if side is not None else self.view(source, View())

    def check_source(self, source: ImageSource | MatrixSource) -> None:
        """Raise `GannetError` for a matrix where the model is one of images, or the other way round."""
        if self._model is None:
            return
        if isinstance(source, MatrixSource) and self._model.backbone is not None:
            raise GannetError(
                f"{source.name} is a matrix, but the model reads images with {self._model.backbone}: give images, "
                "or fit a model on a matrix"
            )
        if not isinstance(source, MatrixSource) and self._model.backbone is None:
            raise GannetError("the model reads feature vectors, not images: give a matrix (.npy, .npz or Parquet)")

    def view(self, images: Images, view: View) -> Features:
        """Return the features of one view of each image, such as `gannet.backbones.augment.Mirrored`."""
        found = self._encoded(_opened(images), [view])
        return replace(found, values=found.values[:, 0])

    def views(self, images: Images, n_views: int, original_first: bool = False) -> Features:
        """Return the features of ``n_views`` random views of each image, ``(n, n_views, n_features)``.

        The views are `gannet.backbones.augment.random_views`: the same in every run, and kept in the cache. With
        ``original_first``, the image as it is takes the place of the first, and the rest are one fewer.
        """
        if n_views < 1:
            raise GannetError(f"n_views must be at least 1, not {n_views}")
        views = [View(), *random_views(n_views - 1)] if original_first else random_views(n_views)
        return replace(self._encoded(_opened(images), views), digests=())

    def pixels(self, images: Images, side: int) -> Features:
        """Return the centre squares of all images that can be read, resized: uint8 ``(n, side, side, 3)``."""
        source = _image_source(_opened(images))
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
        return Features(values[: len(kept)], kept, digests, skipped)

    def _side(self) -> int | None:
        """Return the side of the images that the method reads itself, or None where it takes features."""
        if self._model is not None:
            return self._model.image_size if self._model.backbone == PIXELS else None
        hasher = self._unfitted()
        return hasher.takes.side if isinstance(hasher.takes, FromPixels) else None

    def _encoded(self, opened: ImageSource | MatrixSource, views: Sequence[View]) -> Features:
        """Return the features ``(n, n_views, n_features)`` of views of each image."""
        source = _image_source(opened)
        self.check_source(source)
        if self._model is not None and self._model.backbone == PIXELS:
            raise GannetError(f"a model of {self._model.method} reads pixels: it has no image network")
        if self._extractor is None:
            self._extractor = self._make_extractor()
        extractor, n_views = self._extractor, len(views)

        def read(place: int) -> tuple[RawImage, bytes, View]:
            raw = source.read(place // n_views)
            return raw, digest(raw), views[place % n_views]

        def look(item: tuple[RawImage, bytes, View], size: int) -> npt.NDArray[np.uint8]:
            raw, name, view = item
            return view.apply(decode(raw, round(view.enlarged * size)), size, name)

        def name_view(item: tuple[RawImage, bytes, View]) -> bytes:
            _, name, view = item
            return view.digest(name)

        with FeatureCache(extractor.key, extractor.backbone.n_features) as cache:
            found = extract(len(source) * n_views, read, look, name_view, extractor, cache, "encoding")
        # Whether an image can be read does not depend on the view.
        kept = found.kept[::n_views] // n_views
        failures = [(place // n_views, reason) for place, reason in found.failures[::n_views]]
        skipped = [*source.skipped, *(Skipped(source.paths[i], reason) for i, reason in failures)]
        values = found.values.reshape(len(kept), n_views, extractor.backbone.n_features)
        return Features(
            values,
            [source.paths[i] for i in kept],
            found.digests[::n_views],
            skipped,
            lambda row: source.read(int(kept[row])),
        )

    def _make_extractor(self) -> FeatureExtractor:
        if self._model is None:
            return FeatureExtractor(get_backbone(self.backbone))
        return FeatureExtractor(get_backbone(str(self._model.backbone), self._model.image_size), self._model.weights)

    @property
    def saves(self) -> bool:
        """Whether this process is the one to save the model: of those that train one network together, the first."""
        if self.fine_tuning is None:
            return True
        from gannet.training.distributed import is_first

        return is_first()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to a file (safetensors and JSON) with all that encoding a new image takes."""
        self.model.save(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ImageHasher:
        """Read a model file; raises `GannetError` where it is not one, or damaged."""
        return cls.of(Model.load(path))

    @classmethod
    def of(cls, model: Model) -> ImageHasher:
        """Return the ImageHasher of a loaded model: it encodes, and cannot be trained again."""
        self = cls.__new__(cls)
        self.hasher, self.backbone = None, model.backbone or DEFAULT_BACKBONE
        self._model, self._extractor = model, None
        self.fine_tuning, self.checkpoints = None, None
        return self


def _fine_tuning(hasher: Hasher, wanted: bool | FineTuning) -> FineTuning | None:
    if not wanted:
        return None
    from gannet.hashers.whole_network import check_trains_networks
    from gannet.training.fine_tuning import FineTuning

    check_trains_networks(hasher)
    return FineTuning() if wanted is True else wanted


class _Listed(ImageSource):
    """Images given as a sequence."""

    def __init__(self, images: Sequence[RawImage | str | os.PathLike[str]]) -> None:
        super().__init__("images", [str(i) for i in range(len(images))], "#")
        self._images = images

    def read(self, index: int) -> RawImage:
        image = self._images[index]
        if isinstance(image, str | os.PathLike):
            return read_item(os.fspath(image))
        if not isinstance(image, bytes | np.ndarray):
            raise GannetError(
                f"an image must be a path, the bytes of a file or a uint8 array, not {type(image).__name__}"
            )
        return image


def _opened(images: Images) -> ImageSource | MatrixSource:
    if isinstance(images, str | os.PathLike):
        return open_source(images)
    if isinstance(images, ImageSource | MatrixSource):
        return images
    is_one = isinstance(images, bytes) or (isinstance(images, np.ndarray) and images.ndim < 4)
    if is_one or not isinstance(images, Sequence | np.ndarray):
        raise GannetError("images must be a path, a source or a list of images: put a single image into a list")
    return _Listed(images)


def _image_source(source: ImageSource | MatrixSource) -> ImageSource:
    if isinstance(source, MatrixSource):
        raise GannetError(f"{source.name} is a matrix, which has no views and no pixels: give images")
    return source


def _first_reason(skipped: Iterable[Skipped]) -> str:
    first = next(iter(skipped), None)
    return f"{first.path}: {first.reason}" if first else "the source is empty"
