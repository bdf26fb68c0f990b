"""From images to codes: preprocessing, backbone and hasher tied together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from gannet.backbones import DEFAULT_BACKBONE, get_backbone
from gannet.backbones.cache import FeatureCache
from gannet.backbones.extract import extract
from gannet.backbones.runtime import FeatureExtractor
from gannet.codes import Codes
from gannet.data import ImageSource, MatrixSource, RawImage, Skipped, decode, digest, open_source, read_item
from gannet.errors import GannetError
from gannet.model import Model

if TYPE_CHECKING:
    from gannet.hashers.base import Hasher
    from gannet.training.fine_tuning import FineTuning

Images = ImageSource | MatrixSource | str | os.PathLike[str] | Sequence[RawImage | str | os.PathLike[str]]


@dataclass(frozen=True)
class Features:
    """What a source gave: a row of features for each item that could be read.

    Attributes:
        values: ``(n, n_features)``, float32 for images, the matrix itself for a matrix.
        paths: name of each row's item.
        digests: content digest of each row's item; empty for a matrix.
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
    network is involved and ``backbone`` is not used.

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
            from gannet.hashers.uhga import UHGA

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
        if self.fine_tuning:
            self._model = self._extractor = None  # similarities are those of the network as published
        self.learn(self.features(images))
        return self

    def learn(self, features: Features) -> None:
        """Learn from features that `features` returned, so that they need not be computed twice."""
        if self.hasher is None:
            raise GannetError("a loaded model is not trained again: make a new ImageHasher with a hasher")
        if not len(features.values):
            raise GannetError("none of the images could be read: " + _first_reason(features.skipped))
        if self.fine_tuning:
            self._model = self._train_network(self.hasher, features, self.fine_tuning)
            return
        self.hasher.fit(features.values)
        settings = self.hasher.get_params()
        if self._extractor is None:
            self._model = Model(self.hasher.encoder_, self.hasher.name, settings)
        else:
            network = self._extractor.backbone
            self._model = Model(
                self.hasher.encoder_,
                self.hasher.name,
                settings,
                network.name,
                network.size,
                dict(self._extractor.weights),
            )

    def _train_network(self, hasher: Hasher, features: Features, fine_tuning: FineTuning) -> Model:
        """Train hasher and backbone together; from now on features are those of the new backbone."""
        from gannet.hashers.network import TrainingImages, check_trains_networks, train_network

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
        """Return the features of all images that can be read, from the cache where it has them.

        Raises: `GannetError` for a matrix where the model is one of images, or the other way round.
        """
        source = _opened(images)
        if isinstance(source, MatrixSource):
            if self._model is not None and self._model.backbone is not None:
                raise GannetError(
                    f"{source.name} is a matrix, but the model reads images with {self._model.backbone}: give images, "
                    "or fit a model on a matrix"
                )
            self._extractor = None
            return Features(source.features, source.paths, (), ())
        return self._image_features(source)

    def _image_features(self, source: ImageSource) -> Features:
        if self._model is not None and self._model.backbone is None:
            raise GannetError("the model reads feature vectors, not images: give a matrix (.npy, .npz or Parquet)")
        if self._extractor is None:
            self._extractor = self._make_extractor()
        extractor = self._extractor
        with FeatureCache(extractor.key, extractor.backbone.n_features) as cache:
            found = extract(len(source), source.read, decode, digest, extractor, cache, "encoding")
        skipped = [*source.skipped, *(Skipped(source.paths[i], reason) for i, reason in found.failures)]
        return Features(
            found.values,
            [source.paths[i] for i in found.kept],
            found.digests,
            skipped,
            lambda row: source.read(int(found.kept[row])),
        )

    def _make_extractor(self) -> FeatureExtractor:
        if self._model is None:
            return FeatureExtractor(get_backbone(self.backbone))
        return FeatureExtractor(get_backbone(str(self._model.backbone), self._model.image_size), self._model.weights)

    @property
    def saves(self) -> bool:
        """Whether this process is the one to save the model: of those that train one network together, the first."""
        return self.fine_tuning is None or os.environ.get("RANK", "0") == "0"

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
    from gannet.hashers.network import check_trains_networks
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


def _first_reason(skipped: Iterable[Skipped]) -> str:
    first = next(iter(skipped), None)
    return f"{first.path}: {first.reason}" if first else "the source is empty"
