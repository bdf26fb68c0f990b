"""Image networks of transformers: ``hf:NAME_OR_FOLDER``."""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
from collections.abc import Iterator, Mapping
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
from gannet.errors import GannetError
from gannet.support.libraries import load
from gannet.support.threads import limit_torch

if TYPE_CHECKING:
    from torch import Tensor, nn

_CONFIG = "config.json"
_PROCESSOR = "preprocessor_config.json"


class Transformers(NetworkLibrary):
    """Image networks and the image towers of networks for images and texts, of transformers.

    ``NAME_OR_FOLDER`` is a folder that ``save_pretrained`` wrote, or a repository of the Hugging Face hub. The features
    are the result of ``get_image_features``, if the network has that method, else its pooled output, else the first
    token, else the mean of the feature map. Code in a repository is never run.
    """

    name = "hf"
    form = "NAME_OR_FOLDER"
    example = "hf:facebook/dinov2-small"
    reference = "transformers: https://github.com/huggingface/transformers"
    local = "hf:FOLDER"
    extra = "transformers"
    requires = ("transformers", "torchvision", "torch")

    def load(self, name: str) -> TorchNetwork:  # noqa: D102
        transformers, torch = _import(), load("torch", "transformers", "a network of transformers")
        folder = Path(name).expanduser().absolute()
        if folder.is_dir():
            name = str(folder)
            if not (folder / _CONFIG).is_file():
                raise GannetError(f"{folder} is not a folder of a network of transformers: it must hold {_CONFIG}")
        elif name.startswith((".", "/", "~")):
            raise GannetError(f"there is no folder {folder}")
        with _quiet(transformers):
            config = transformers.AutoConfig.from_pretrained(name)  # first: its errors name a hub that is out of reach
            processor = transformers.AutoImageProcessor.from_pretrained(name)
            model, loaded = transformers.AutoModel.from_pretrained(
                name, config=config, dtype=torch.float32, output_loading_info=True
            )
        missing = [key for key in loaded["missing_keys"] if not _is_pooler(key)]
        if missing or loaded["mismatched_keys"]:
            bad = missing[0] if missing else loaded["mismatched_keys"][0]
            raise GannetError(f"the weights of hf:{name} do not fit the network that its {_CONFIG} describes: {bad}")
        if loaded["missing_keys"]:
            model.pooler = None
        if folder.is_dir():
            return _network(name, model, processor, license_in(folder / "README.md"))
        commit = commit_of(name)
        return _network(name, model, processor, license_of(name, commit), commit)

    def restore(self, name: str, files: Mapping[str, str], weights: Weights) -> TorchNetwork:  # noqa: D102
        transformers = _import()
        with tempfile.TemporaryDirectory() as folder, _quiet(transformers):
            write_files(folder, files)
            processor = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True)
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            model = transformers.AutoModel.from_config(config).float()
        if not any(map(_is_pooler, weights)) and any(map(_is_pooler, model.state_dict())):
            model.pooler = None
        return _network(name, load_arrays_into(model, weights), processor)


def _import() -> Any:
    import_torchvision("transformers", "a network of transformers")
    return load("transformers", "transformers", "a network of transformers")


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Suppress the progress bars and reports of loading."""
    logging = transformers.utils.logging
    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()


def _is_pooler(key: str) -> bool:
    """Return whether a weight belongs to the layer behind the first token, which many checkpoints do not have."""
    return key.split(".")[0] == "pooler"


def _network(
    name: str, model: nn.Module, processor: Any, license: str | None = None, revision: str | None = None
) -> TorchNetwork:
    from torch import nn

    class ImageTower(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model: Any = model

        def forward(self, images: Tensor) -> Tensor:
            if hasattr(self.model, "get_image_features"):
                return _pooled(self.model.get_image_features(pixel_values=images))
            return _pooled(self.model(pixel_values=images))

    def preprocess(image: Image.Image) -> Input:
        return np.asarray(processor(images=image, return_tensors="pt")["pixel_values"][0])

    has_texts = hasattr(model, "get_text_features")
    shape = preprocess(Image.new("RGB", (64, 64))).shape
    if len(shape) != 3:
        raise GannetError(f"the preprocessing of hf:{name} gives arrays of shape {shape}, not (3, height, width)")
    config: Any = model.config
    return TorchNetwork(
        f"hf:{name}",
        max(shape[1:]),
        preprocess,
        json.dumps(json.loads(processor.to_json_string()), sort_keys=True),
        revision,
        license,
        {_CONFIG: config.to_json_string(), _PROCESSOR: processor.to_json_string()},
        text_tower=functools.partial(_text_tower, name, model) if has_texts else None,
        module=ImageTower().eval(),
        model=model,
    )


def _text_tower(name: str, model: Any, files: Mapping[str, bytes]) -> TextNetwork:
    """Return the text tower of a network, with a tokenizer from stored files or its own one."""
    transformers = _import()
    with tempfile.TemporaryDirectory() as folder, _quiet(transformers):
        write_files(folder, files)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder if files else name, local_files_only=bool(files))
    config = model.config
    length = min(tokenizer.model_max_length, config.text_config.max_position_embeddings)
    # SigLIP was trained with padded texts, whose padding its text tower sees.
    padding = "max_length" if config.model_type.startswith("siglip") else True

    def tokenize(texts: list[str]) -> Mapping[str, Tensor]:
        tokens: Mapping[str, Tensor] = tokenizer(
            texts, padding=padding, truncation=True, max_length=length, return_tensors="pt"
        )
        return tokens

    def encode(texts: list[str]) -> Tensor:
        import torch

        limit_torch()
        with torch.inference_mode():
            device = next(model.parameters()).device
            return _pooled(model.get_text_features(**{key: value.to(device) for key, value in tokenize(texts).items()}))

    return TextNetwork(f"hf:{name}", encode, token_digest(tokenize), saved_files(tokenizer))


def _pooled(output: Any) -> Tensor:
    """Return one vector per image or text, ``(n, d)``, from the output of a network."""
    pooled: Tensor | None = getattr(output, "pooler_output", None if hasattr(output, "last_hidden_state") else output)
    if pooled is not None:
        return pooled.flatten(1)
    hidden: Tensor = output.last_hidden_state
    return hidden[:, 0] if hidden.ndim == 3 else hidden.mean((2, 3))
