"""Networks of timm, PyTorch Image Models: ``timm:NAME``."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from gannet.backbones.base import Weights
from gannet.backbones.libraries._hub import commit_of
from gannet.backbones.libraries._torchvision import import_torchvision
from gannet.backbones.library import NetworkLibrary
from gannet.backbones.network import Input, TorchNetwork, load_arrays_into
from gannet.errors import GannetError, unknown_name
from gannet.support.libraries import load

if TYPE_CHECKING:
    from torch import nn

_LOCAL = "local-dir:"
_SOURCE_FIELDS = ("url", "file", "state_dict", "hf_hub_id", "source", "label_names", "label_descriptions")
"""Fields of timm's configuration that say where weights come from, or name classes."""


class Timm(NetworkLibrary):
    """The networks of timm, without their classifiers.

    ``NAME`` is a name of `timm.create_model`: of its registry, ``hf-hub:ORGANIZATION/REPOSITORY`` or
    ``local-dir:FOLDER``.
    """

    name = "timm"
    form = "NAME"
    example = "timm:vit_small_patch14_dinov2.lvd142m"
    reference = "PyTorch Image Models: https://github.com/huggingface/pytorch-image-models"
    local = "timm:local-dir:FOLDER"
    extra = "timm"
    requires = ("timm", "torchvision", "torch")

    def load(self, name: str) -> TorchNetwork:  # noqa: D102
        timm = _import()
        if name.startswith(_LOCAL):
            name = _LOCAL + str(_folder(name.removeprefix(_LOCAL)))
        elif ":" not in name and "/" not in name and not timm.is_model(name):
            raise unknown_name("timm network", name, timm.list_models())
        return _network(name, timm.create_model(name, pretrained=True, num_classes=0))

    def restore(self, name: str, files: Mapping[str, str], weights: Weights) -> TorchNetwork:  # noqa: D102
        timm = _import()
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "config.json").write_text(files["config.json"], encoding="utf-8")
            model = timm.create_model(_LOCAL + folder, pretrained=False, num_classes=0)
        return _network(name, load_arrays_into(model, weights))


def _import() -> Any:
    import_torchvision("timm", "a network of timm")
    return load("timm", "timm", "a network of timm")


def _folder(path: str) -> Path:
    """Return the absolute path of a folder of a network."""
    folder = Path(path).expanduser().absolute()
    if not (folder / "config.json").is_file():
        raise GannetError(f"{folder} is not a folder of a timm network: it must hold config.json and the weights")
    return folder


def _network(name: str, model: nn.Module) -> TorchNetwork:
    import timm

    model.eval()
    data: dict[str, Any] = timm.data.resolve_model_data_config(model)
    channels, *sides = data["input_size"]
    if channels != 3:
        raise GannetError(f"timm:{name} takes images of {channels} channels, not of 3")
    transform = timm.data.create_transform(**data, is_training=False)

    def preprocess(image: Image.Image) -> Input:
        return np.asarray(transform(image))

    given: Mapping[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    hub = given.get("hf_hub_id") if given.get("source") != "local-dir" else None
    return TorchNetwork(
        f"timm:{name}",
        max(sides),
        preprocess,
        f"{transform}",
        revision=commit_of(*hub.split("@")) if hub else None,
        license=given.get("license"),
        files={"config.json": _config(model, given)},
        module=model,
    )


def _config(model: nn.Module, given: Mapping[str, Any]) -> str:
    """Return timm's ``config.json`` of a network."""
    import timm

    config = {
        "architecture": given["architecture"],
        "model_args": timm.models.get_model_args(model),
        "pretrained_cfg": {key: value for key, value in given.items() if key not in (*_SOURCE_FIELDS, "architecture")},
    }
    return json.dumps(config, sort_keys=True)
