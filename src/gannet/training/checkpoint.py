"""Checkpoints: the whole state of a training in one safetensors file with a JSON header.

Random numbers need no state: batches, crops and dropout masks are functions of the seed and the step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gannet.errors import GannetError
from gannet.support.arrays import array_digest
from gannet.support.atomic import write_atomically

if TYPE_CHECKING:
    from gannet.training.trainer import PairwiseTrainer

FILE = "training.safetensors"
_FORMAT = "gannet-training"


class Checkpoint:
    """The file in a folder from which a training with certain settings continues.

    ``settings`` are JSON values of everything that decides the training's result, including the data and the network's
    initial weights. ``every`` is the number of steps from one checkpoint to the next. Raises a `GannetError` if the
    folder cannot be created.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], every: int = 50) -> None:
        self.path, self.every = folder / FILE, every
        self._settings: dict[str, Any] = json.loads(json.dumps(settings, default=str))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GannetError(f"cannot keep checkpoints in {folder}: {error.strerror}") from None

    def save(self, step: int, state: Mapping[str, Tensor]) -> None:
        """Atomically replace the checkpoint by the state of a training after ``step`` steps."""
        from safetensors.numpy import save

        arrays = {name: np.asarray(tensor.detach().cpu().numpy(), order="C") for name, tensor in state.items()}
        text = json.dumps({"step": step, "settings": self._settings, "digest": array_digest(arrays)})
        write_atomically(self.path, save(arrays, metadata={_FORMAT: text}))

    def load(self) -> tuple[int, dict[str, Tensor]] | None:
        """Return the step and the state that were saved last, or None if there is no checkpoint.

        Raises a `GannetError` if the file is damaged, or of a training with other settings; the message names the
        setting.
        """
        if not self.path.exists():
            return None
        from safetensors import safe_open

        try:
            with safe_open(self.path, framework="numpy") as file:
                header = json.loads((file.metadata() or {})[_FORMAT])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            step, settings, digest = int(header["step"]), dict(header["settings"]), header["digest"]
        except Exception:  # a damaged file can fail in any way
            digest, arrays = None, {}
        if digest is None or array_digest(arrays) != digest:
            raise GannetError(f"{self.path} is damaged or not a checkpoint: delete it to start again")
        self._compare(settings)
        return step, {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}

    def _compare(self, settings: Mapping[str, Any]) -> None:
        names = sorted(settings.keys() | self._settings.keys())
        for name in names:
            then, now = settings.get(name), self._settings.get(name)
            if then != now:
                known = f" ({then} then, {now} now)" if max(len(str(then)), len(str(now))) < 30 else ""
                raise GannetError(
                    f"{self.path} is of a training with another {name}{known}: "
                    "go on with the same, or name another folder"
                )


def training_state(trainer: PairwiseTrainer) -> dict[str, Tensor]:
    """Return all learned parameters by name, and under ``NAME/KEY`` the optimizers' state of each."""
    state: dict[str, Tensor] = {}
    for name, parameter in trainer.learned().items():
        state[name] = parameter
        memory = _optimizer(trainer, name).state.get(parameter, {})
        state |= {f"{name}/{key}": value for key, value in memory.items() if value is not None}
    return state


def restore(trainer: PairwiseTrainer, state: Mapping[str, Tensor]) -> None:
    """Put a trainer into a state that `training_state` returned."""
    with torch.no_grad():
        for name, parameter in trainer.learned().items():
            parameter.copy_(state[name])
            _optimizer(trainer, name).state[parameter] = {
                # In the parameter's own memory layout: sums over another layout may be rounded differently.
                key.removeprefix(f"{name}/"): torch.zeros_like(parameter).copy_(value)
                if value.shape == parameter.shape
                else value
                for key, value in state.items()
                if key.startswith(f"{name}/")
            }


def _optimizer(trainer: PairwiseTrainer, name: str) -> torch.optim.Optimizer:
    return trainer.attention_optimizer if name.startswith("attention.") else trainer.optimizer
