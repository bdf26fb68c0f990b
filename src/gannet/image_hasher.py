"""Images to codes: a feature reader and a hasher together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import numpy.typing as npt

from gannet.backbones import BackboneLike, FeatureExtractor, TextNetwork, TextNetworkLike, make_text_network
from gannet.codes import Codes
from gannet.data import ImageSource, MatrixSource, Sample, Skipped
from gannet.data.sample import n_held_out, split
from gannet.errors import GannetError
from gannet.feature_reader import FeatureReader, Features, Images, first_reason, open_images
from gannet.hashers.takes import FromFeatures
from gannet.model import Model
from gannet.text_features import record_texts, text_network_of
from gannet.training.fine_tuning import FineTuning

if TYPE_CHECKING:
    from gannet.hashers.base import Hasher


_ROWS_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class Training:
    """The data that a method learns from, and the items that are held out to measure its codes.

    Attributes
    ----------
    features : Features
        Data to learn from, of the kind that the method takes.
    source : ImageSource or MatrixSource
        The items that they were read from. Its ``total`` is the number of items that they were drawn from.
    held_out : Features or None
        Data of the items that are held out, of the kind that the model encodes; None if there are too few items.
    held_out_source : ImageSource, MatrixSource or None
        The items that they were read from.
    """

    features: Features
    source: ImageSource | MatrixSource
    held_out: Features | None = None
    held_out_source: ImageSource | MatrixSource | None = None

    @property
    def is_sample(self) -> bool:
        """Whether the items are a random sample of the source."""
        return self.source.total > len(self.source) + (len(self.held_out_source) if self.held_out_source else 0)

    @property
    def skipped(self) -> list[Skipped]:
        """Items that could not be read."""
        return [*self.features.skipped, *(self.held_out.skipped if self.held_out else ())]


class ImageHasher:
    """Learn codes from images and encode new ones.

    Images are given in any form that `FeatureReader` takes. With a matrix of features as source, or with a method that
    reads pixels itself, no image network is involved.

    Parameters
    ----------
    hasher : Hasher, default=None
        The method, not fitted. If None, `UHGA` with 64 bits; a hasher made from a model has none and can't be fitted.
    backbone : str, Backbone or object, default=None
        The image network: a name that ``gannet backbones`` lists (None: the default one), a `Backbone`, or any object
        with ``encode(list of PIL images) -> array of shape (n, d)``. A saved model records only the
        name of such an object, and `load` needs the object again.
    train_backbone : bool or FineTuning, default=False
        Whether to train the image network too, from pixels, with a method that learns from pairs. The network's
        published features still determine which images are similar. True means the defaults of `FineTuning`.
    checkpoints : path, default=None
        Folder in which the training of the network keeps its state, and from which it resumes.
    model : Model, default=None
        A fitted model to encode with, in place of a hasher; see `load`.
    text_network : str or object, default=None
        The network that turns texts into vectors that can be compared with the items' features, in any form that
        `gannet.backbones.make_text_network` takes. Not needed if the image network has a text tower.

    Attributes
    ----------
    hasher : Hasher or None
        The method.
    reader : FeatureReader
        Reads the data that the method learns from.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet import ITQ, ImageHasher
    >>> def mean_color(images):
    ...     return np.array([np.asarray(image).mean(axis=(0, 1)) for image in images])
    >>> pictures = list(np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8))
    >>> ImageHasher(ITQ(n_bits=3), backbone=mean_color).fit(pictures).encode(pictures[:5]).shape
    (5, 1)
    """

    def __init__(
        self,
        hasher: Hasher | None = None,
        backbone: BackboneLike | None = None,
        train_backbone: bool | FineTuning = False,
        checkpoints: str | os.PathLike[str] | None = None,
        *,
        model: Model | None = None,
        text_network: TextNetworkLike | None = None,
    ) -> None:
        if hasher is None and model is None:
            from gannet.methods.uhga import UHGA

            hasher = UHGA()
        self.hasher = hasher
        self.fine_tuning = _fine_tuning(hasher, train_backbone)
        if checkpoints is not None and self.fine_tuning is None:
            raise GannetError("checkpoints are kept only if the image network is trained: set train_backbone too")
        self.checkpoints = checkpoints
        self.reader = FeatureReader(backbone) if model is None else FeatureReader.for_model(model, backbone)
        self._model = model
        self._text_network = None if text_network is None else make_text_network(text_network)
        if self.fine_tuning and text_network is not None:
            raise GannetError("the features of a trained image network match no texts: leave the text network out")
        self._text_network_of_model: TextNetwork | None = None  # loaded by the first text
        # Encoding uses the network that the model was learned with, which training may have changed.
        self._model_reader = self.reader

    @property
    def model(self) -> Model:
        """The fitted model; raises `GannetError` before `fit`."""
        if self._model is None:
            raise GannetError("this ImageHasher is not fitted: call fit, or load a saved one")
        return self._model

    def fit(self, images: Images, sample: int | Literal["all"] | None = None) -> Self:
        """Learn from images, without labels.

        Of 100 items or more, one for every ten to learn from is held out, at most 1,000; see `read_training`.

        Parameters
        ----------
        images : path, source or sequence of images
            Training images.
        sample : int or "all", default=None
            Number of items to learn from, drawn at random with the method's seed. If None, the default of the method,
            ``sample_size``: 50,000, or 10,000 if the image network runs several times per image or is trained too.

        Returns
        -------
        ImageHasher
            This object.

        Raises
        ------
        GannetError
            If no image can be read, if there are fewer images than bits, or if a matrix is given to a method that
            learns from images.
        """
        return self.learn(self.read_training(images, sample).features)

    def read_training(self, images: Images, sample: int | Literal["all"] | None = None) -> Training:
        """Read a random sample of the items: those to learn from, for `learn`, and those that are held out.

        Items that are not in the sample are not read. Items are held out only if as many are left as there are bits.

        Parameters
        ----------
        images : path, source or sequence of images
            Training images.
        sample : int or "all", default=None
            Number of items to learn from; see `fit`.

        Returns
        -------
        Training
            Features, features of views, or pixels, and the items that are held out.

        Raises
        ------
        GannetError
            If a matrix is given to a method that learns from images, or if ``sample`` is below 1.
        """
        hasher = self._unfitted()
        source = open_images(images, self.sample(sample))
        if isinstance(source, MatrixSource) and not isinstance(hasher.takes, FromFeatures):
            from gannet.hashers.images import learns_from_images

            raise learns_from_images(hasher.name)
        if isinstance(source, MatrixSource):
            check_rows(source)
        n_held = n_held_out(len(source))
        if not n_held or len(source) - n_held < hasher.n_bits:
            return Training(self.reader.read(source, hasher.takes), source)
        items, held_out = split(source, n_held, hasher.random_state)
        read = self.reader.read
        return Training(read(items, hasher.takes), items, read(held_out, hasher.takes.encodes), held_out)

    def sample(self, size: int | Literal["all"] | None = None) -> Sample | None:
        """Return the random sample of a source that the method learns from; see `fit`.

        Parameters
        ----------
        size : int or "all", default=None
            Number of items to learn from; None is the default of the method.

        Returns
        -------
        Sample or None
            The sample, for `gannet.data.open_source`; None for all items.

        Raises
        ------
        GannetError
            If the number is below 1.
        """
        if size == "all":
            return None
        hasher = self._unfitted()
        if size is None:
            size = (self.fine_tuning or hasher).sample_size
        if not isinstance(size, int) or size < 1:
            raise GannetError(f"sample must be a whole number from 1, or 'all', not {size!r}")
        return Sample(size, hasher.random_state)

    def learn(self, features: Features) -> Self:
        """Learn from data that `read_training` or any `FeatureReader` has read.

        Parameters
        ----------
        features : Features
            Data of the kind that the method takes. Their image network becomes the model's.

        Returns
        -------
        ImageHasher
            This object.

        Raises
        ------
        GannetError
            If there are none, or if the method takes another kind.
        """
        hasher = self._unfitted()
        if not len(features.values):
            raise GannetError("none of the images could be read: " + first_reason(features.skipped))
        if features.takes != hasher.takes:
            raise GannetError(
                f"{hasher.name} takes {hasher.takes}, but these features were read as {features.takes}: read them with "
                "reader.read(images, hasher.takes)"
            )
        self._text_network_of_model = None
        if self.fine_tuning:
            self._model = self._train_network(hasher, features, self.fine_tuning)
        else:
            hasher.fit(features.values)
            self._model = Model.of(hasher, features.extractor, texts=record_texts(features, self._text_network))
            self._model_reader = FeatureReader(features.extractor)
        return self

    def encode(self, images: Images) -> Codes:
        """Return the codes of images, in their order.

        Parameters
        ----------
        images : path, source or sequence of images
            A matrix, if the model was learned from one.

        Returns
        -------
        ndarray of shape (n, ceil(n_bits / 8)), dtype uint8
            Packed codes.

        Raises
        ------
        GannetError
            If an image can't be read (`features` skips those), or if a matrix is given to a model of images.
        """
        found = self.features(images)
        if found.skipped:
            raise GannetError(f"cannot read {first_reason(found.skipped)}")
        return self.model.encoder.encode(found.values)

    def features(self, images: Images) -> Features:
        """Read the data that the model encodes: features of all images that can be read, or their pixels.

        Parameters
        ----------
        images : path, source or sequence of images
            A matrix, if the model was learned from one. Before `fit`, either.

        Returns
        -------
        Features
            One row per item that could be read.

        Raises
        ------
        GannetError
            If a matrix is given to a model of images, or images to a model of feature vectors.
        """
        source = open_images(images)
        self.check_source(source)
        takes = self._unfitted().takes.encodes if self._model is None else self._model.takes
        return self._model_reader.read(source, takes)

    def text_features(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return features of texts that can be encoded like those of the items.

        Parameters
        ----------
        texts : sequence of str
            Texts such as ``"a red car"``.

        Returns
        -------
        ndarray of shape (n, n_features), dtype float32
            The features, centered as the items are; see `gannet.backbones.texts.TextRecord`.

        Raises
        ------
        GannetError
            If the model was learned without a text network, or if its text network is missing or another one.
        """
        if self._text_network_of_model is None:
            self._text_network_of_model = text_network_of(self.model, self._model_reader, self._text_network)
        assert self.model.texts is not None
        return self.model.texts.features(self._text_network_of_model.vectors(texts))

    def check_source(self, source: ImageSource | MatrixSource) -> None:
        """Raise an error for a matrix if the model encodes images, and for images if it encodes vectors.

        Parameters
        ----------
        source : ImageSource or MatrixSource
            The source to encode. Before `fit`, anything is accepted.

        Raises
        ------
        GannetError
            If the model does not encode such a source.
        """
        if self._model is None:
            return
        if isinstance(source, MatrixSource) and self._model.backbone is not None:
            raise GannetError(
                f"{source.name} is a matrix, but the model reads images with {self._model.backbone}: give images, "
                "or fit a model on a matrix"
            )
        if not isinstance(source, MatrixSource) and self._model.backbone is None:
            raise GannetError("the model reads feature vectors, not images: give a matrix (.npy, .npz or Parquet)")

    @property
    def saves(self) -> bool:
        """Whether this process should save the model: of several processes that train one network, the first."""
        if self.fine_tuning is None:
            return True
        from gannet.training.distributed import is_first

        return is_first()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to a file (safetensors and JSON) that holds everything to encode new images.

        The one exception is a network that is not a `Backbone`: the file records its name.

        Parameters
        ----------
        path : path
            The file. An existing one is replaced in one step.
        """
        self.model.save(path)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        backbone: BackboneLike | None = None,
        text_network: TextNetworkLike | None = None,
    ) -> ImageHasher:
        """Read a model file.

        Parameters
        ----------
        path : path
            A file that `save` or ``gannet fit`` wrote.
        backbone : Backbone or object, default=None
            The image network, if the file does not hold it and no installed distribution brings it.
        text_network : object, default=None
            The text network, if it is an object that was passed when the model was learned.

        Returns
        -------
        ImageHasher
            It encodes, but can't be fitted.

        Raises
        ------
        GannetError
            If the file is not a model, is damaged, or needs an image network that is missing.
        """
        return cls(backbone=backbone, model=Model.load(path), text_network=text_network)

    def _unfitted(self) -> Hasher:
        if self.hasher is None:
            raise GannetError("a loaded model is not trained again: make a new ImageHasher with a hasher")
        return self.hasher

    def _train_network(self, hasher: Hasher, features: Features, fine_tuning: FineTuning) -> Model:
        """Train hasher and backbone together."""
        from gannet.hashers.whole_network import TrainingImages, check_trains_networks, train_network

        extractor = features.extractor
        if extractor is None or features.read is None:
            raise GannetError("a matrix of features involves no image network that could be trained: give images")
        if not isinstance(extractor, FeatureExtractor):
            raise GannetError(f"the network {extractor.name!r} can't be trained: only a gannet.Backbone can")
        images = TrainingImages(features.values, features.digests, features.read)
        folder = None if self.checkpoints is None else Path(self.checkpoints)
        _, weights = train_network(
            check_trains_networks(hasher), images, extractor.backbone, extractor.weights, fine_tuning, folder
        )
        trained = FeatureExtractor(extractor.backbone, weights)
        self._model_reader = FeatureReader(trained)
        return Model.of(hasher, trained, {"train_backbone": asdict(fine_tuning)})


def check_rows(source: MatrixSource) -> None:
    """Raise a `GannetError` that names the first row with NaN or infinity by its place in the whole matrix."""
    for start in range(0, len(source), _ROWS_AT_ONCE):
        with np.errstate(over="ignore", invalid="ignore"):
            rows = source.features[start : start + _ROWS_AT_ONCE].astype(np.float32, copy=False)
            bad = np.flatnonzero(~np.isfinite(rows.sum(axis=1, dtype=np.float64)))
        if len(bad):
            row = start + int(bad[0])
            name = f"row {row} of the features" if source.total == len(source) else source.paths[row]
            raise GannetError(f"{name} holds NaN or infinity: drop or repair it")


def _fine_tuning(hasher: Hasher | None, wanted: bool | FineTuning) -> FineTuning | None:
    if not wanted:
        return None
    from gannet.hashers.whole_network import check_trains_networks

    if hasher is None:
        raise GannetError("a loaded model is not trained again: make a new ImageHasher with a hasher")
    check_trains_networks(hasher)
    return FineTuning() if wanted is True else wanted
