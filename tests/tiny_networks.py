"""Tiny networks with random weights, written to disk in each library's own format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from gannet.backbones.libraries._torchvision import import_torchvision

import_torchvision("timm", "a test")

import open_clip  # noqa: E402
import timm  # noqa: E402
import tokenizers  # noqa: E402
import transformers  # noqa: E402
from open_clip.transform import PreprocessCfg, image_transform_v2  # noqa: E402

from gannet.backbones._generic_texts import GENERIC_TEXTS  # noqa: E402

Forward = Callable[[Image.Image], np.ndarray]
"""The library's own preprocessing and forward pass, of one image."""

CARD = "---\nlicense: {}\n---\nA tiny network.\n"


def timm_folder(folder: Path, architecture: str = "test_vit", license: str = "apache-2.0", seed: int = 0) -> Forward:
    torch.manual_seed(seed)
    model = timm.create_model(architecture, pretrained=False, num_classes=7).eval()
    timm.models.save_for_hf(model, folder, safe_serialization=True)
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"]["license"] = license
    (folder / "config.json").write_text(json.dumps(config))
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    return lambda image: model.forward_head(model.forward_features(transform(image)[None]), pre_logits=True)[0].numpy()


OPEN_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def open_clip_folder(folder: Path, license: str = "mit", seed: int = 0, n_features: int = 16) -> Forward:
    torch.manual_seed(seed)
    folder.mkdir(exist_ok=True)
    architecture = {**OPEN_CLIP, "embed_dim": n_features}
    model = open_clip.CLIP(**architecture).eval()
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    cfg = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25], "interpolation": "bicubic", "resize_mode": "shortest"}
    config = {"model_cfg": architecture, "preprocess_cfg": cfg}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    (folder / "README.md").write_text(CARD.format(license))
    transform = image_transform_v2(PreprocessCfg(size=32, **cfg), is_train=False)
    return lambda image: model.encode_image(transform(image)[None])[0].numpy()


TOWER = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
IMAGES = {"image_size": 32, "patch_size": 8}
VIT = transformers.ViTConfig(**TOWER, **IMAGES)


def word_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """A tokenizer of the words in generic texts, others are unknown to it."""
    words = sorted({word.strip(",") for text in GENERIC_TEXTS for word in text.split()})
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<unk>", "<s>", "</s>", *words])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, "<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing("<s> $A </s>", None, [("<s>", 2), ("</s>", 3)])
    special = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def hf_folder(folder: Path, kind: str = "vit", license: str = "apache-2.0", seed: int = 0) -> Forward:
    torch.manual_seed(seed)
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    if kind == "clip":
        words = word_tokenizer()
        words.save_pretrained(folder)
        text = {**TOWER, "vocab_size": len(words), "max_position_embeddings": 8, "bos_token_id": 2, "eos_token_id": 3}
        config = transformers.CLIPConfig(text_config=text, vision_config={**TOWER, **IMAGES}, projection_dim=16)
        saved = model = transformers.CLIPModel(config).eval()
        processor = transformers.CLIPImageProcessor(size={"shortest_edge": 36}, crop_size=32)
    elif kind == "resnet":
        config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
        saved = model = transformers.ResNetModel(config).eval()
    elif kind == "classifier":  # whose file has no weights of a pooling layer
        saved = transformers.ViTForImageClassification(VIT).eval()
        model = saved.vit
    else:
        saved = model = transformers.ViTModel(VIT).eval()
    saved.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "README.md").write_text(CARD.format(license))

    def forward(image: Image.Image) -> np.ndarray:
        pixels = processor(images=image, return_tensors="pt")["pixel_values"]
        if kind == "clip":
            return model.get_image_features(pixel_values=pixels).pooler_output[0].numpy()
        output = model(pixel_values=pixels)
        return (output.last_hidden_state[0, 0] if kind == "classifier" else output.pooler_output[0].flatten()).numpy()

    return forward


class Small(nn.Module):
    """One convolution, from float images to vectors; ``scale`` infinity makes all of them NaN or infinite."""

    def __init__(self, scale: float = 1.0, n_features: int = 5) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, n_features, 5, 3)
        self.scale = scale

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.convolution(images).relu().mean((2, 3)) * self.scale


class TwoInputs(Small):
    def forward(self, images: torch.Tensor, more: torch.Tensor) -> torch.Tensor:
        return super().forward(images) + more.mean()


def export(path: Path, module: nn.Module, *inputs: torch.Tensor, dynamic: bool = True, **options: object) -> None:
    """Write a module to an ONNX file, with an open number of images if ``dynamic``."""
    axes = tuple({0: torch.export.Dim("n")} for _ in inputs) if dynamic else None
    torch.onnx.export(module.eval(), inputs, path, dynamic_shapes=axes, verbose=False, **options)


def onnx_file(path: Path, seed: int = 0, n_features: int = 5, **options: object) -> Forward:
    torch.manual_seed(seed)
    module = Small(n_features=n_features)
    export(path, module, torch.zeros(2, 3, 32, 32), **options)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])

    def forward(image: Image.Image) -> np.ndarray:
        width, height = (32 * length // min(image.size) for length in image.size)
        left, top = (width - 32) // 2, (height - 32) // 2
        square = image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + 32, top + 32))
        pixels = (torch.tensor(np.asarray(square)) / 255 - mean) / std
        return module(pixels.permute(2, 0, 1)[None])[0].numpy()

    return forward
