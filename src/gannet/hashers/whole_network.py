"""Training of a backbone together with the hash layer of a pairwise method, from pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gannet.backbones.base import Backbone, Weights
from gannet.encoders import Encoder, Floats, Linear, UnitLinear
from gannet.errors import GannetError
from gannet.hashers.base import Hasher
from gannet.hashers.pairwise import PairwiseHasher
from gannet.hashers.takes import FromFeatures
from gannet.support.arrays import array_digest
from gannet.support.libraries import load
from gannet.support.threads import one_at_a_time
from gannet.training.fine_tuning import FineTuning

if TYPE_CHECKING:
    import torch

    from gannet.data import RawImage


@dataclass(frozen=True)
class TrainingImages:
    """Images, by ``read`` and content digest, and their features ``(n, d)`` by the frozen network.

    ``read`` maps an index to the raw image and is called from several threads.
    """

    features: Floats
    digests: Sequence[bytes]
    read: Callable[[int], RawImage]


def check_trains_networks(hasher: Hasher) -> PairwiseHasher:
    """Return the hasher if it can train a backbone, and raise a `GannetError` if not."""
    if not isinstance(hasher, PairwiseHasher) or hasher.takes != FromFeatures():
        raise GannetError(
            f"{hasher.name} does not train the image network: methods that learn from pairs of features do, such as "
            "uhga"
        )
    return hasher


@one_at_a_time
def train_network(
    hasher: PairwiseHasher,
    images: TrainingImages,
    backbone: Backbone,
    weights: Weights,
    fine_tuning: FineTuning,
    checkpoints: Path | None = None,
) -> tuple[Encoder, Weights]:
    """Fit the hasher together with a backbone; return the trained hash layer and weights of the backbone.

    Similarities are those of the frozen ``images.features``. The hash layer is trained alone first, then the whole
    network, with these initial ``weights``, is trained from pixels. Under ``torchrun`` the processes share each batch
    and end with equal weights. A training continues from the checkpoint in the folder ``checkpoints``. Raises a
    `GannetError` if the method cannot train a network, or if training fails.
    """
    torch = load("torch", "train", "training the image network")

    from gannet.training.checkpoint import Checkpoint
    from gannet.training.distributed import join_processes, training_device
    from gannet.training.hash_network import HashNetwork
    from gannet.training.image_batches import ImageBatches
    from gannet.training.image_loop import train_on_images
    from gannet.training.optimizers import make_optimizer

    device = training_device()
    processes = join_processes(device)
    with torch.random.fork_rng(devices=[]):
        if hasher.random_state is None and (processes.count > 1 or checkpoints is not None):
            raise GannetError(
                "random_state=None draws another seed in each process and each run: set a number to train in several "
                "processes or with checkpoints"
            )
        checkpoint = None
        if checkpoints is not None:
            settings = _identity(hasher, images, backbone, weights, fine_tuning)
            checkpoint = Checkpoint(checkpoints, settings, fine_tuning.checkpoint_every)
        encoder = _warm_up(hasher, images.features, fine_tuning)
        seed = hasher.draw_seed()
        torch.manual_seed(seed)
        layer = torch.nn.Linear(encoder.n_features, encoder.n_bits)
        if fine_tuning.warm_up:
            learned = {"weight": encoder.weight.T.copy(), "bias": encoder.bias}
            layer.load_state_dict({name: torch.from_numpy(array) for name, array in learned.items()})
        mean = torch.from_numpy(encoder.mean) if fine_tuning.unit_input else None
        network = HashNetwork(backbone, weights, layer, mean, _mixes(fine_tuning, device)).to(device)
        schedule = hasher.schedule()
        groups = network.parameter_groups(schedule.learning_rate, fine_tuning.backbone_rate)
        trainer = hasher.trainer(
            network,
            optimizer=make_optimizer(schedule.optimizer, groups, schedule.learning_rate),
            seed=seed,
            processes=processes,
        )
        data = ImageBatches(len(images.digests), images.read, backbone.size, fine_tuning.augment, seed)
        train_on_images(trainer, schedule, data, hasher.pair_similarity(images.features), checkpoint)
    weight, bias = (np.ascontiguousarray(t.detach().cpu().numpy()) for t in (layer.weight.T, layer.bias))
    kind = UnitLinear if fine_tuning.unit_input else Linear
    hasher.encoder_ = kind(encoder.mean if fine_tuning.unit_input else np.zeros_like(encoder.mean), weight, bias)
    return hasher.encoder_, network.backbone_weights()


def _warm_up(hasher: PairwiseHasher, features: Floats, fine_tuning: FineTuning) -> UnitLinear:
    """Fit the hasher on frozen features for the steps of the warm-up; this also checks features and settings."""
    n_steps = hasher.get_params()["n_steps"]
    hasher.schedule()  # checks the number of steps, which the warm-up replaces
    try:
        hasher.set_params(n_steps=fine_tuning.warm_up or 1).fit(features)
    finally:
        hasher.set_params(n_steps=n_steps)
    encoder = hasher.encoder_
    if not isinstance(encoder, UnitLinear):
        raise GannetError(f"{hasher.name} has no linear hash layer that could be trained with a network")
    return encoder


def _mixes(fine_tuning: FineTuning, device: torch.device) -> bool:
    import torch

    if fine_tuning.mixed_precision is None:
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return fine_tuning.mixed_precision


def _identity(
    hasher: PairwiseHasher, images: TrainingImages, backbone: Backbone, weights: Weights, fine_tuning: FineTuning
) -> dict[str, object]:
    """Return everything that decides the result of a training, by names for error messages."""
    return {
        "method": hasher.name,
        **hasher.get_params(),
        **asdict(fine_tuning),
        "checkpoint_every": None,
        "backbone": f"{backbone.name} at {backbone.size} pixels",
        "first weights": array_digest(weights),
        "set of images": hashlib.sha256(b"".join(images.digests)).hexdigest(),
    }
