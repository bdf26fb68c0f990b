"""Import of torchvision, whose transformations the libraries use."""

from __future__ import annotations

from typing import Any

from gannet.support.libraries import load

_DECLARED_AT_IMPORT = ("nms", "qnms")
"""Compiled operators that torchvision refers to when it is imported."""


def import_torchvision(extra: str, purpose: str) -> Any:
    """Import torchvision, also beside a build of torch that its compiled operators do not fit, and return it.

    The wheels on PyPI are compiled for the torch with CUDA. Beside a CPU build of torch, the operators can't be loaded,
    and the import fails because it refers to two of them. Transformations of images use none, so that declaring the two
    is enough.
    """
    torch = load("torch", extra, purpose)
    try:
        return load("torchvision", extra, purpose)
    except RuntimeError as error:
        if "does not exist" not in str(error):
            raise
    for name in _DECLARED_AT_IMPORT:
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return load("torchvision", extra, purpose)
