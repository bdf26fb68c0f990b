"""Settings of training a backbone together with its hash layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gannet.errors import GannetError


@dataclass(frozen=True)
class FineTuning:
    """Settings of training the whole network; steps, batches, optimizer and learning rate are the method's own.

    Parameters
    ----------
    backbone_rate : float, default=0.1
        Learning rate of the backbone as a share of the hash layer's ``learning_rate`` (Huang et al. 2019: 0.1).
    warm_up : int, default=1000
        Steps of the hash layer alone, on the frozen features, before the whole network is trained. 0 starts it from
        random weights, as in the paper.
    unit_input : bool, default=True
        Whether the hash layer gets centered features of unit length, as in training on frozen features. False gives it
        the features unchanged, like a hash layer that replaces the last layer of a classifier; it needs ``warm_up=0``.
    augment : bool, default=True
        Whether to crop the images (to 8/9 of each side) and flip them at random.
    mixed_precision : bool or None, default=None
        Whether to run the backbone in bfloat16 in training; None does so on GPUs that support it.
    checkpoint_every : int, default=50
        Steps from one checkpoint to the next.

    Attributes
    ----------
    sample_size : int
        Number of images that `ImageHasher` and ``gannet fit`` learn from by default.

    Raises
    ------
    GannetError
        If a value is out of range.

    Examples
    --------
    >>> from gannet import UHGA, FineTuning, ImageHasher
    >>> hasher = ImageHasher(UHGA(n_bits=32), train_backbone=FineTuning(warm_up=500))
    >>> hasher.fine_tuning.backbone_rate
    0.1
    """

    sample_size: ClassVar[int] = 10_000

    backbone_rate: float = 0.1
    warm_up: int = 1000
    unit_input: bool = True
    augment: bool = True
    mixed_precision: bool | None = None
    checkpoint_every: int = 50

    def __post_init__(self) -> None:
        if not 0 < self.backbone_rate <= 1000:
            raise GannetError(f"backbone_rate must be positive and at most 1000, not {self.backbone_rate}")
        for name, value, least in (("warm_up", self.warm_up, 0), ("checkpoint_every", self.checkpoint_every, 1)):
            if not isinstance(value, int) or value < least:
                raise GannetError(f"{name} must be a whole number from {least}, not {value}")
        if self.warm_up and not self.unit_input:
            raise GannetError("a hash layer on unchanged features starts from random weights: set warm_up=0")
