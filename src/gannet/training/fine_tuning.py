"""How a backbone is trained together with its hash layer."""

from __future__ import annotations

from dataclasses import dataclass

from gannet.errors import GannetError


@dataclass(frozen=True)
class FineTuning:
    """Settings of training the whole network; steps, batches, optimizer and learning rate are the method's own.

    Attributes
    ----------
        backbone_rate: the backbone's learning rate as a share of the hash layer's ``learning_rate`` (GAH: 0.1).
        warm_up: steps that the hash layer first takes alone, on the frozen features; 0 starts it at random, as in
            the paper.
        unit_input: True shows the hash layer centred features of unit length, as in training on frozen features; False
            shows them as they are, as where a hash layer takes the place of a classifier's last (for ``warm_up=0``).
        augment: crop (8/9 of each side) and flip the images at random.
        mixed_precision: run the backbone in bfloat16 where it is trained; None does so on GPUs that have it.
        checkpoint_every: steps from one checkpoint to the next.
    """

    backbone_rate: float = 0.1
    warm_up: int = 1000
    unit_input: bool = True
    augment: bool = True
    mixed_precision: bool | None = None
    checkpoint_every: int = 50

    def __post_init__(self) -> None:
        """Check what a typing error on the command line would break."""
        if not 0 < self.backbone_rate <= 1000:
            raise GannetError(f"backbone_rate must be positive and at most 1000, not {self.backbone_rate}")
        for name, value, least in (("warm_up", self.warm_up, 0), ("checkpoint_every", self.checkpoint_every, 1)):
            if not isinstance(value, int) or value < least:
                raise GannetError(f"{name} must be a whole number from {least}, not {value}")
        if self.warm_up and not self.unit_input:
            raise GannetError("a hash layer that sees features as they are starts at random: set warm_up=0")
