"""Checkpoints: the whole state of a training in one safetensors file with a JSON header, never pickle.

Nothing random needs a state of its own: batches, crops and dropout masks are functions of the seed and the step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gannet.errors import GannetError
from gannet.support.arrays import array_digest
from gannet.support.atomic import write_atomically

FILE = "training.safetensors"
_FORMAT = "gannet-training"


class Checkpoint:
    """The file in a folder from which a training of certain settings goes on.

    Parameters: ``folder``, made if need be; ``settings``, JSON values that decide the training's result, the data
    and the network's first weights included.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.path = folder / FILE
        self._settings: dict[str, Any] = json.loads(json.dumps(settings, default=str))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GannetError(f"cannot keep checkpoints in {folder}: {error.strerror}") from None

    def save(self, step: int, state: Mapping[str, Tensor]) -> None:
        """Replace the checkpoint, in one step, by that of a training that has taken ``step`` steps."""
        from safetensors.numpy import save

        arrays = {name: np.asarray(tensor.detach().cpu().numpy(), order="C") for name, tensor in state.items()}
        text = json.dumps({"step": step, "settings": self._settings, "digest": array_digest(arrays)})
        write_atomically(self.path, save(arrays, metadata={_FORMAT: text}))

    def load(self) -> tuple[int, dict[str, Tensor]] | None:
        """Return the step and the state that were saved last, or None where nothing was.

        Raises: `GannetError` for a file that is damaged, or of other settings (they are named).
        """
        if not self.path.exists():
            return None
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, framework="numpy") as file:
                header = json.loads((file.metadata() or {})[_FORMAT])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            step, settings, digest = int(header["step"]), dict(header["settings"]), header["digest"]
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError):
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
