"""Two processes on the CPU learn what one learns from the same batches."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from gannet.errors import GannetError
from gannet.training.distributed import Processes, is_first

SCRIPT = """
    import sys
    import numpy as np
    import torch
    from safetensors.torch import save_file
    from torch import nn
    from gannet import GradientAttention
    from gannet.backbones.base import Backbone
    from gannet.training.distributed import join_processes
    from gannet.training.hash_network import HashNetwork
    from gannet.training.optimizers import make_optimizer
    from gannet.training.image_loop import train_on_images
    from gannet.training.image_batches import ImageBatches
    from gannet.training.schedule import Schedule
    from gannet.training.trainer import PairwiseTrainer

    class Small(Backbone):
        name, reference, n_features, default_size, min_size = "small", "none", 6, 12, 8
        mean = std = (0.5, 0.5, 0.5)
        def build(self):
            pool = nn.AdaptiveAvgPool2d(1)
            return nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.BatchNorm2d(6), nn.ReLU(), pool, nn.Flatten())
        def weights_file(self):
            raise AssertionError

    pixels = np.random.default_rng(0).integers(0, 256, (40, 20, 20, 3), dtype=np.uint8)
    for attends in (False, True):
        group = join_processes(torch.device("cpu"))  # again: a program may train more than once
        torch.manual_seed(group.rank)  # the others take over what the first process starts from
        weights = {name: t.numpy() for name, t in Small().build().state_dict().items()}
        network = HashNetwork(Small(), weights, nn.Linear(6, 7), torch.zeros(6))
        attention = GradientAttention(hidden=4) if attends else None
        trainer = PairwiseTrainer(
            network, optimizer=make_optimizer("sgd", network.parameter_groups(0.1, 0.1), 0.1), attention=attention,
            n_steps=3, seed=1, processes=group,
        )
        similarity = lambda a, b: ((a[:, None] + b) % 3 == 0).float()
        pictures = ImageBatches(40, lambda i: pixels[i], 12, True, 1)
        train_on_images(trainer, Schedule(3, 8, "sgd", 0.1), pictures, similarity)
        state = {name: p.detach().contiguous() for name, p in trainer.learned().items()}
        save_file(state, f"{sys.argv[1]}-{attends}-{group.rank}of{group.count}.safetensors")
"""


def run(folder: Path, n_processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    script = folder / "train.py"
    script.write_text(textwrap.dedent(SCRIPT))
    if n_processes == 1:
        monkeypatch.setattr(sys, "argv", [str(script), str(folder / "state")])
        runpy.run_path(str(script))
        return
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n_processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*start, str(script), str(folder / "state")], env=environment, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no processes")
def test_two_processes_learn_the_weights_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, 1, monkeypatch)
    run(tmp_path, 2, monkeypatch)
    for attends in (False, True):
        alone = load_file(tmp_path / f"state-{attends}-0of1.safetensors")
        both = [load_file(tmp_path / f"state-{attends}-{rank}of2.safetensors") for rank in (0, 1)]
        assert any(name.startswith("attention") for name in alone) == attends
        for name, value in alone.items():
            np.testing.assert_array_equal(both[0][name], both[1][name])
            np.testing.assert_allclose(both[0][name], value, rtol=1e-3, atol=1e-5, err_msg=name)
    plain, weighed = (load_file(tmp_path / f"state-{attends}-0of1.safetensors") for attends in (False, True))
    assert not np.allclose(plain["network.layer.weight"], weighed["network.layer.weight"], rtol=1e-3)


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_every_row_of_both_sides_belongs_to_one_process(count: int) -> None:
    rows = torch.arange(24).view(12, 2)
    parts = [Processes(rank, count).own(rows) for rank in range(count)]
    assert all(part.shape == (12 // count, 2) for part in parts)
    firsts, seconds = zip(*(part.chunk(2) for part in parts), strict=True)
    assert torch.equal(torch.cat([*firsts, *seconds]), rows)


@pytest.mark.parametrize(("n", "count"), [(10, 2), (2, 2), (8, 3)])
def test_batches_that_cannot_be_shared_are_refused(n: int, count: int) -> None:
    with pytest.raises(GannetError, match=f"multiple of {count}"):
        Processes(0, count).own(torch.zeros(n))


@pytest.mark.parametrize("value", ["two", "1.5", "--"])
def test_a_number_of_processes_that_is_none_is_one_line(value, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", value)
    with pytest.raises(GannetError, match=r"\$WORLD_SIZE must be a whole number, as torchrun sets it, not "):
        is_first()
