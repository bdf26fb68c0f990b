"""The image networks of OpenCLIP: ``open_clip:NAME/PRETRAINED``."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from gannet.backbones.base import Weights
from gannet.backbones.libraries._hub import commit_of, license_in, license_of
from gannet.backbones.libraries._tokenizers import saved_files, write_files
from gannet.backbones.libraries._torchvision import import_torchvision
from gannet.backbones.library import NetworkLibrary
from gannet.backbones.network import Input, TorchNetwork, load_arrays_into
from gannet.backbones.texts import TextNetwork, token_digest
from gannet.errors import GannetError, unknown_name
from gannet.support.libraries import load
from gannet.support.threads import limit_torch

if TYPE_CHECKING:
    from torch import Tensor, nn

_LOCAL = "local-dir:"
_HUB = "hf-hub:"
_CONFIG = "open_clip_config.json"


class OpenCLIP(NetworkLibrary):
    """The image towers of OpenCLIP's networks, whose features a text tower shares.

    What follows the prefix is ``NAME/PRETRAINED``, where ``PRETRAINED`` is a tag of OpenCLIP or a checkpoint's path;
    ``hf-hub:ORGANIZATION/REPOSITORY``; or ``local-dir:FOLDER``.
    """

    name = "open_clip"
    form = "NAME/PRETRAINED"
    example = "open_clip:ViT-B-32/laion2b_s34b_b79k"
    reference = "OpenCLIP: https://github.com/mlfoundations/open_clip"
    local = "open_clip:NAME/CHECKPOINT or open_clip:local-dir:FOLDER"
    extra = "open-clip"
    requires = ("open_clip", "torchvision", "torch")

    def load(self, name: str) -> TorchNetwork:  # noqa: D102
        open_clip = _import()
        if name.startswith(_LOCAL):
            folder = _folder(name.removeprefix(_LOCAL))
            model, _ = open_clip.create_model_from_pretrained(f"{_LOCAL}{folder}")
            config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
            return _network(f"{_LOCAL}{folder}", model, config["model_cfg"], license=license_in(folder / "README.md"))
        if name.startswith(_HUB):
            repository = name.removeprefix(_HUB)
            model, _ = open_clip.create_model_from_pretrained(name)
            return _network(name, model, open_clip.get_model_config(name), **_of_hub(repository))
        architecture, pretrained = _parts(name)
        model, _ = open_clip.create_model_from_pretrained(architecture, pretrained)
        tag: Mapping[str, Any] = open_clip.get_pretrained_cfg(architecture, pretrained)
        hub = _of_hub(tag["hf_hub"].strip("/")) if tag.get("hf_hub") else {}
        return _network(f"{architecture}/{pretrained}", model, open_clip.get_model_config(architecture), **hub)

    def restore(self, name: str, files: Mapping[str, str], weights: Weights) -> TorchNetwork:  # noqa: D102
        open_clip = _import()
        config = json.loads(files[_CONFIG])
        with tempfile.TemporaryDirectory() as folder:
            write_files(folder, files)
            model = open_clip.create_model(f"{_LOCAL}{folder}", load_weights=False, pretrained_text=False)
        return _network(name, load_arrays_into(model, weights), config["model_cfg"])


def _import() -> Any:
    import_torchvision("open-clip", "a network of OpenCLIP")
    return load("open_clip", "open-clip", "a network of OpenCLIP")


def _folder(path: str) -> Path:
    """Return the absolute path of a folder of a network."""
    folder = Path(path).expanduser().absolute()
    if not (folder / _CONFIG).is_file():
        raise GannetError(f"{folder} is not a folder of an OpenCLIP network: it must hold {_CONFIG} and the weights")
    return folder


def _parts(name: str) -> tuple[str, str]:
    """Return the name of the architecture and the tag or absolute path of its weights."""
    import open_clip

    architecture, _, pretrained = name.partition("/")
    if architecture not in open_clip.list_models():
        raise unknown_name("OpenCLIP network", architecture, open_clip.list_models())
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if not pretrained:
        known = f"one of {', '.join(tags)}, or " if tags else ""
        raise GannetError(
            f"name the weights too: open_clip:{architecture}/PRETRAINED, where PRETRAINED is {known}a file"
        )
    file = Path(pretrained).expanduser()
    if file.is_file():
        return architecture, str(file.absolute())
    if pretrained not in tags:
        raise unknown_name(
            f"weights of the OpenCLIP network {architecture}, neither a tag nor a file,", pretrained, tags
        )
    return architecture, pretrained


def _of_hub(repository: str) -> dict[str, str | None]:
    """Return commit and license of the copy of a repository."""
    commit = commit_of(repository)
    return {"revision": commit, "license": license_of(repository, commit)}


def _text_tower(name: str, model: Any, config: str, files: Mapping[str, bytes]) -> TextNetwork:
    """Return the text tower of a network with a configuration, with a tokenizer from stored files or its own one."""
    import open_clip

    has_own_files = "hf_tokenizer_name" in json.loads(config)["model_cfg"]["text_cfg"]
    with tempfile.TemporaryDirectory() as folder:
        write_files(folder, {**files, _CONFIG: config.encode()})
        source = name if name.startswith((_LOCAL, _HUB)) else name.partition("/")[0]
        tokenizer = open_clip.get_tokenizer(source if has_own_files and not files else f"{_LOCAL}{folder}")
    stored = saved_files(tokenizer) if has_own_files else {}

    def encode(texts: list[str]) -> Tensor:
        import torch

        limit_torch()
        with torch.inference_mode():
            tokens = tokenizer(texts).to(next(model.parameters()).device)
            features: Tensor = model.encode_text(tokens)
            return features

    return TextNetwork(f"open_clip:{name}", encode, token_digest(lambda texts: {"tokens": tokenizer(texts)}), stored)


def _network(name: str, model: nn.Module, architecture: Mapping[str, Any], **facts: str | None) -> TorchNetwork:
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from torch import nn

    class ImageTower(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: Tensor) -> Tensor:
            features: Tensor = self.model.encode_image(images)  # type: ignore[operator]
            return features

    cfg: dict[str, Any] = model.eval().visual.preprocess_cfg  # type: ignore[union-attr,assignment]
    transform = image_transform_v2(PreprocessCfg(**cfg), is_train=False)
    size = cfg["size"]

    def preprocess(image: Image.Image) -> Input:
        return np.asarray(transform(image))

    config = json.dumps({"model_cfg": architecture, "preprocess_cfg": cfg}, sort_keys=True)
    return TorchNetwork(
        f"open_clip:{name}",
        size if isinstance(size, int) else max(size),
        preprocess,
        json.dumps(cfg, sort_keys=True),
        **facts,
        files={_CONFIG: config},
        text_tower=functools.partial(_text_tower, name, model, config),
        module=ImageTower().eval(),
        model=model,
    )
