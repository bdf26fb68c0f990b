"""Training from pixels: the look-ahead, dropout masks, resuming, memory and mixed precision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from gannet import GradientAttention
from gannet.backbones import get_backbone
from gannet.backbones.base import Backbone
from gannet.errors import GannetError
from gannet.training import trainer as trainer_module
from gannet.training.checkpoint import FILE, Checkpoint, training_state
from gannet.training.distributed import Processes
from gannet.training.fine_tuning import FineTuning
from gannet.training.hash_network import HashNetwork
from gannet.training.image_batches import ImageBatches
from gannet.training.image_loop import train_on_images
from gannet.training.losses import squared_loss
from gannet.training.optimizers import make_optimizer, step_per_gradient
from gannet.training.schedule import Schedule, step_seed
from gannet.training.trainer import PairwiseTrainer

SIZE, N_FEATURES, N_BITS = 12, 6, 5
N_STEPS, SEED = 7, 3


class Small(Backbone):
    """A convolution with batch normalization and dropout, as AlexNet and EfficientNet have between them."""

    name = "small"
    reference = "none"
    n_features = N_FEATURES
    default_size = SIZE
    min_size = 8
    mean = (0.4, 0.5, 0.6)
    std = (0.3, 0.3, 0.2)

    def build(self) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
            nn.Dropout(), nn.Linear(32, N_FEATURES), nn.Tanh(),
        )  # fmt: skip

    def weights_file(self) -> Path:
        raise AssertionError("the tests give the weights")


def small_network(seed: int = 0) -> HashNetwork:
    torch.manual_seed(seed)
    weights = {name: tensor.numpy() for name, tensor in Small().build().state_dict().items()}
    weights["1.running_mean"] = np.linspace(-1, 1, 8, dtype=np.float32)
    return HashNetwork(Small(), weights, nn.Linear(N_FEATURES, N_BITS), 0.1 * torch.ones(N_FEATURES))


def trainer(
    network: HashNetwork | None = None, attends: bool = True, optimizer: str = "adam", learning_rate: float = 0.01
) -> PairwiseTrainer:
    network = network or small_network()
    torch.manual_seed(5)
    attention = GradientAttention(hidden=6).to(network.layer.weight.dtype) if attends else None
    groups = network.parameter_groups(learning_rate, FineTuning().backbone_rate)
    return PairwiseTrainer(
        network,
        squared_loss,
        optimizer=make_optimizer(optimizer, groups, learning_rate),
        attention=attention,
        n_steps=N_STEPS,
        seed=SEED,
    )


def train(ours: PairwiseTrainer, checkpoint: Checkpoint | None = None, batch_size: int = 4) -> None:
    """Take the steps on pictures; the schedule's optimizer is not used, as the trainer has its own."""
    train_on_images(ours, Schedule(N_STEPS, batch_size, "adam", 0.01), pictures(), similarity, checkpoint)


def codes_of_step(ours: PairwiseTrainer, pixels: Tensor, step: int, weights: dict[str, Tensor] | None = None) -> Tensor:
    """Return the codes with the dropout masks of a step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(step_seed(SEED, 2, step))
        return torch.tanh(functional_call(ours.network, weights or {}, (pixels,)))


def images(n: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def batch() -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    return torch.from_numpy(images(8)), (torch.rand(4, 4) > 0.5).double()


def pictures(n: int = 30, augment: bool = True) -> ImageBatches:
    pixels = images(n, 20)
    return ImageBatches(n, lambda i: pixels[i], SIZE, augment, SEED)


def similarity(a: Tensor, b: Tensor) -> Tensor:
    return ((a[:, None] + b) % 3 == 0).float()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_look_ahead_gradient_equals_double_backward_with_dropout(optimizer: str, monkeypatch) -> None:
    """The direction that trains the attention, against a second-order graph through step and dropout masks."""
    pixels, targets = batch()
    ours = trainer(small_network().double(), optimizer=optimizer)
    ours.step(pixels, targets)  # so that the optimizer remembers something
    before = {name: p.detach().clone() for name, p in ours.network.named_parameters()}
    caught: dict[str, Tensor] = {}
    real = trainer_module.look_ahead_gradient

    def catching(*arguments: Any) -> Tensor:
        caught["direction"] = real(*arguments)
        return caught["direction"]

    forward = ours.attention.forward

    def keep_weighted(*arguments: Tensor) -> tuple[Tensor, ...]:
        caught["weighted"] = torch.cat(forward(*arguments)).detach()
        return forward(*arguments)

    monkeypatch.setattr(trainer_module, "look_ahead_gradient", catching)
    monkeypatch.setattr(ours.attention, "forward", keep_weighted)
    ours.step(pixels, targets)

    def codes(weights: dict[str, Tensor]) -> Tensor:
        return codes_of_step(ours, pixels, 1, weights)

    weighted = caught["weighted"].clone().requires_grad_()
    leaves = {name: value.clone().requires_grad_() for name, value in before.items()}
    gradients = torch.autograd.grad(codes(leaves), list(leaves.values()), weighted, create_graph=True)
    moved = {}
    for (name, parameter), gradient in zip(ours.network.named_parameters(), gradients, strict=True):
        # The same point that the optimizer reached, but differentiable in the weighted derivatives.
        linear = -step_per_gradient(ours.optimizer, parameter) * gradient
        moved[name] = parameter.detach() + linear - linear.detach()
    a, b = codes(moved).chunk(2)
    (expected,) = torch.autograd.grad(squared_loss(a @ b.T, targets, N_BITS).sum() / 4, weighted)
    assert expected.norm() > 0
    assert (caught["direction"] - expected).norm() / expected.norm() < 1e-4


def test_a_step_draws_the_same_dropout_masks_three_times(monkeypatch) -> None:
    masks: list[Tensor] = []
    ours = trainer()
    dropout = next(m for m in ours.network.modules() if isinstance(m, nn.Dropout))

    def observed(self: nn.Dropout, inputs: Tensor) -> Tensor:
        mask = nn.functional.dropout(torch.ones(inputs.shape), self.p, self.training)
        masks.append(mask)
        return inputs * mask

    monkeypatch.setattr(nn.Dropout, "forward", observed)
    assert dropout.training
    pixels, targets = batch()
    state = torch.random.get_rng_state()
    for _ in range(2):
        ours.step(pixels, targets.float())
    assert len(masks) == 6  # the step, the look-ahead, and its forward-mode product
    for first, *others in (masks[:3], masks[3:]):
        assert 0 < (first == 0).float().mean() < 1
        assert all(torch.equal(first, other) for other in others)
    assert not torch.equal(masks[0], masks[3])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_forward_mode_draws_torchs_own_masks_too(monkeypatch) -> None:
    """The same without a stand-in for dropout: the primal values of the look-ahead are the codes of the step."""
    ours = trainer()
    pixels, targets = batch()
    seen: list[tuple[Tensor, Tensor]] = []
    real = trainer_module.look_ahead_gradient

    def looking(codes: Any, weights: dict[str, Tensor], descent: dict[str, Tensor]) -> Tensor:
        seen.append(torch.func.jvp(codes, (weights,), (weights,)))
        return real(codes, weights, descent)

    monkeypatch.setattr(trainer_module, "look_ahead_gradient", looking)
    ours.step(pixels, targets.float())
    ((primal, tangent),) = seen
    torch.testing.assert_close(primal, ours.codes)
    assert torch.isfinite(tangent).all() and tangent.abs().sum() > 0


@pytest.mark.parametrize("attends", [True, False])
def test_one_step_trains_every_layer_and_no_running_statistics(attends: bool) -> None:
    pixels, targets = batch()
    ours = trainer(attends=attends)
    before = {name: p.detach().clone() for name, p in ours.learned().items()}
    buffers = {name: b.clone() for name, b in ours.network.named_buffers()}
    ours.step(pixels, targets.float())
    for name, parameter in ours.learned().items():
        if name == "attention.fc_out.bias":
            continue  # it cancels in the softmax
        assert torch.isfinite(parameter).all() and not torch.equal(before[name], parameter), name
    for name, buffer in ours.network.named_buffers():
        torch.testing.assert_close(buffer, buffers[name], rtol=0, atol=0)


def test_the_hash_layer_learns_ten_times_as_fast() -> None:
    pixels, targets = batch()
    ours = trainer(attends=False, optimizer="sgd", learning_rate=0.5)
    before = {name: p.detach().clone() for name, p in ours.network.named_parameters()}
    a, b = codes_of_step(ours, pixels, 0).chunk(2)
    loss = squared_loss(a @ b.T, targets.float(), N_BITS).sum() / 4
    gradients = torch.autograd.grad(loss, list(ours.network.parameters()))
    ours.step(pixels, targets.float())
    for (name, parameter), gradient in zip(ours.network.named_parameters(), gradients, strict=True):
        rate = 0.5 if name.startswith("layer.") else 0.05
        torch.testing.assert_close(before[name] - rate * gradient, parameter.detach())
        assert step_per_gradient(ours.optimizer, parameter) == pytest.approx(rate)


def test_attention_at_one_half_trains_like_the_plain_gradient() -> None:
    results = []
    for attends in (False, True):
        ours = trainer(attends=attends)
        if attends:
            nn.init.zeros_(ours.attention.fc_out.weight)
            ours.attention_optimizer.param_groups[0]["lr"] = 0.0
        train(ours)
        results.append(torch.cat([p.detach().flatten() for p in ours.network.parameters()]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-3, atol=1e-4)


def test_between_look_aheads_the_attention_weighs_and_does_not_learn() -> None:
    pixels, targets = batch()
    ours = trainer()
    ours.attention_every = 2
    for learns in (True, False, True):
        before = {name: p.detach().clone() for name, p in ours.learned().items()}
        ours.step(pixels, targets.float())
        changed = {name for name, p in ours.learned().items() if not torch.equal(before[name], p)}
        assert ("attention.fc_in.weight" in changed) == learns and "network.layer.weight" in changed


@pytest.mark.parametrize("attends", [True, False])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_killed_training_goes_on_to_the_same_bits(tmp_path: Path, attends: bool, optimizer: str) -> None:
    whole = trainer(attends=attends, optimizer=optimizer)
    train(whole)
    checkpoint = Checkpoint(tmp_path / "run", {"a": 1}, every=3)
    killed = trainer(attends=attends, optimizer=optimizer)
    real, steps = killed.step, []

    def dying(*arguments: Tensor) -> Tensor:
        if len(steps) == 5:
            raise KeyboardInterrupt
        steps.append(1)
        return real(*arguments)

    killed.step = dying  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt, match=r"after step 5 of 7; run the same command again .*safetensors"):
        train(killed, checkpoint)
    assert checkpoint.load()[0] == 3  # type: ignore[index]
    resumed = trainer(small_network(seed=9), attends=attends, optimizer=optimizer)
    train(resumed, checkpoint)
    assert resumed.step_count == 7
    ours, theirs = training_state(resumed), training_state(whole)
    assert ours.keys() == theirs.keys() and any("/" in name for name in ours)
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name
    finished = trainer(small_network(seed=8), attends=attends, optimizer=optimizer)
    train(finished, checkpoint)
    assert all(torch.equal(p, theirs[name]) for name, p in finished.learned().items())


def test_checkpoints_of_other_settings_or_damaged_ones_are_refused(tmp_path: Path) -> None:
    ours = Checkpoint(tmp_path, {"batch_size": 32, "first weights": "0" * 64})
    assert ours.load() is None
    ours.save(4, {"x": torch.arange(3.0), "step": torch.tensor(4.0)})
    step, state = ours.load()  # type: ignore[misc]
    assert step == 4 and torch.equal(state["x"], torch.arange(3.0)) and state["step"].shape == ()
    with pytest.raises(GannetError, match=r"another batch_size \(32 then, 64 now\): go on with the same"):
        Checkpoint(tmp_path, {"batch_size": 64, "first weights": "0" * 64}).load()
    with pytest.raises(GannetError, match="another first weights: "):
        Checkpoint(tmp_path, {"batch_size": 32, "first weights": "1" * 64}).load()
    data = bytearray((tmp_path / FILE).read_bytes())
    for damaged in (data[:-3], data[:-1] + b"\x07", b"", b"nothing at all"):
        (tmp_path / FILE).write_bytes(damaged)
        with pytest.raises(GannetError, match="damaged or not a checkpoint: delete it"):
            ours.load()
    (tmp_path / "file").write_text("")
    with pytest.raises(GannetError, match="cannot keep checkpoints"):
        Checkpoint(tmp_path / "file", {})


def test_a_training_that_diverges_leaves_the_last_good_checkpoint(tmp_path: Path, monkeypatch) -> None:
    checkpoint = Checkpoint(tmp_path, {}, every=3)
    ours = trainer()
    real = ours.optimizer.step

    def step() -> None:
        real()
        if ours.step_count == 5:  # the sixth step, after which a checkpoint is due
            with torch.no_grad():
                ours.network.layer.weight.fill_(float("nan"))

    monkeypatch.setattr(ours.optimizer, "step", step)
    with pytest.raises(GannetError, match="not a number after step 6"):
        train(ours, checkpoint)
    assert checkpoint.load()[0] == 3  # type: ignore[index]


def test_out_of_memory_names_a_smaller_batch() -> None:
    ours = trainer()

    def step(*arguments: Tensor) -> Tensor:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    ours.step = step  # type: ignore[method-assign]
    with pytest.raises(GannetError, match="--set batch_size=6"):
        train(ours, batch_size=12)


def test_mixed_precision_trains_and_looks_ahead() -> None:
    pixels, targets = batch()
    network = small_network()
    network.mixed_precision = True
    ours = trainer(network)
    for _ in range(2):
        ours.step(pixels, targets.float())
    assert ours.codes.dtype == torch.float32 and all(p.dtype == torch.float32 for p in ours.learned().values())
    assert all(torch.isfinite(p).all() for p in ours.learned().values())
    exact = trainer()
    for _ in range(2):
        exact.step(pixels, targets.float())
    difference = torch.cat(
        [(p - q).flatten() for p, q in zip(ours.network.parameters(), exact.network.parameters(), strict=True)]
    )
    assert 0 < difference.abs().max() < 0.05


def test_alexnet_learns_with_dropout_and_momentum_from_its_fc7_features() -> None:
    """The network of the paper at its smallest size, with made-up weights; the hash layer sees FC-7 as it is."""
    backbone = get_backbone("alexnet", 63)
    torch.manual_seed(0)
    weights = {
        name: (torch.randn(tensor.shape) * (2 / max(1, tensor[0].numel())) ** 0.5).numpy()
        for name, tensor in backbone._empty().state_dict().items()
    }
    network = HashNetwork(backbone, weights, nn.Linear(4096, 16), None)
    assert [m.training for m in network.modules() if isinstance(m, nn.Dropout)] == [True, True]
    ours = trainer(network, optimizer="sgd", learning_rate=0.01)
    pixels = torch.from_numpy(images(4, 63))
    ours.step(pixels, torch.eye(2))
    for name, value in network.backbone_weights().items():
        assert np.isfinite(value).all() and not np.array_equal(value, weights[name]), name
    assert all("momentum_buffer" in ours.optimizer.state[p] for p in network.parameters())


# Images


def test_batches_are_a_function_of_seed_and_step() -> None:
    ours = pictures()
    processes = Processes()
    whole = list(ours.batches(range(7), 8, processes))
    for start in (0, 3, 6):
        items, pixels = next(ours.batches(range(start, 7), 8, processes))
        assert torch.equal(items, whole[start][0]) and torch.equal(pixels, whole[start][1])
    assert whole[0][1].shape == (8, SIZE, SIZE, 3) and whole[0][1].dtype == torch.uint8
    assert len(torch.cat([items for items, _ in whole[:3]]).unique()) == 24
    other = next(replace(ours, seed=SEED + 1).batches(range(1), 8, processes))
    assert not torch.equal(other[0], whole[0][0])


def test_an_augmented_image_is_a_crop_or_its_mirror_image() -> None:
    from gannet.data import decode

    ours, processes = pictures(), Processes()
    margin = ours.margin
    assert margin == 1
    offsets = set()
    for items, pixels in ours.batches(range(6), 10, processes):
        for item, view in zip(items.tolist(), pixels.numpy(), strict=True):
            large = decode(ours.read(item), SIZE + margin)
            matches = {
                (top, left, flip)
                for top in range(margin + 1)
                for left in range(margin + 1)
                for flip in (1, -1)
                if np.array_equal(large[top : top + SIZE, left : left + SIZE][:, ::flip], view)
            }
            assert len(matches) == 1
            offsets |= matches
    assert len(offsets) == 8
    plain = next(pictures(augment=False).batches(range(1), 10, processes))
    np.testing.assert_array_equal(plain[1][0].numpy(), decode(ours.read(int(plain[0][0])), SIZE))


@pytest.mark.parametrize(
    "bad", [{"backbone_rate": 0.0}, {"warm_up": -1}, {"checkpoint_every": 0}, {"unit_input": False}, {"warm_up": 1.5}]
)
def test_impossible_settings_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(GannetError):
        FineTuning(**bad)


# Memory


def peak_bytes(work: Any) -> int:
    """Return how far torch's allocations on the CPU rise above their start during ``work()``."""
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        work()
    held = peak = 0
    events = [e for e in profile.kineto_results.events() if e.name() == "[memory]"]  # type: ignore[union-attr]
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def test_gradient_attention_on_the_default_backbone_takes_little_more_memory_than_plain_training() -> None:
    backbone = get_backbone("efficientnet-lite0", 32)
    weights = backbone.weights()
    pixels, targets = torch.from_numpy(images(16, 32)), torch.eye(8)
    peaks = {}
    for attends in (False, True):
        torch.manual_seed(0)
        network = HashNetwork(backbone, weights, nn.Linear(1280, 32), torch.zeros(1280))
        ours = trainer(network, attends)
        ours.step(pixels, targets)  # the optimizers allocate what they remember once
        peaks[attends] = peak_bytes(lambda ours=ours: ours.step(pixels, targets))
    assert peaks[False] > 30 * 2**20  # activations of 16 images and a gradient of 3.4 million weights:
    assert peaks[True] < 1.5 * peaks[False]
