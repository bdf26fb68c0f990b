"""The figures that the paper on gradient attention printed, to compare measured ones with."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

SOURCE = (
    "Jiang, Wang, Cheng, Du, Li, Unsupervised Hashing with Gradient Attention, Symmetry 2020, 12(7), 1193, "
    "doi:10.3390/sym12071193"
)
#: The image network of the paper.
BACKBONE = "AlexNet, FC-7"

_NAMES = {
    "SH": "sh",
    "SpH": "sph",
    "ITQ": "itq",
    "DSH": "dsh",
    "SSDH": "ssdh",
    "SSDH+GA": "ssdh+ga",
    "HashGAN": "hashgan",
    "USDH": "usdh",
    "UHGA without GA": "uhga-plain",
    "UHGA (with GA)": "uhga",
}
#: The method and the setting that the paper sweeps.
SWEPT = ("uhga", "similarity_threshold")

_COLUMNS = {"cifar10-uhga": "cifar10_map_at_all", "nuswide21-uhga": "nuswide_map_at_5000"}


@functools.cache
def tables() -> Mapping[str, Any]:
    """Return the tables of the paper: comparison, effect of gradient attention, sweep of the similarity threshold."""
    text = resources.files("gannet.evaluation").joinpath("data/uhga_published.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def published(protocol: str) -> dict[str, dict[int, float]]:
    """Return MAP in the paper as method -> code length -> MAP; empty if the paper does not use the protocol.

    Figures that are illegible in print are left out.
    """
    column = _COLUMNS.get(protocol)
    if column is None:
        return {}
    found = tables()
    rows = {**found["comparison"], **found["effect_of_gradient_attention"]}
    return {
        name: {
            bits: value for bits, value in zip(found["bits"], rows[printed][column], strict=True) if value is not None
        }
        for printed, name in _NAMES.items()
    }


def published_sweep(protocol: str) -> dict[float, dict[int, float]]:
    """Return the MAP of UHGA in the paper as similarity threshold -> code length -> MAP; empty as for `published`."""
    column = _COLUMNS.get(protocol)
    if column is None:
        return {}
    found = tables()
    sweep = found["hyperparameter_sweep"]
    return {float(at): dict(zip(found["bits"], row[column], strict=True)) for at, row in sweep.items()}
