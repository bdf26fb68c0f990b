"""Commands that `gannet advise` suggests, for the source that it was given."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gannet.evaluation.advice import Recommendation

_READ = "from gannet import FeatureReader, open_source; x = FeatureReader().read(open_source({source})).values"
_EXACT = (
    "from sklearn.neighbors import NearestNeighbors; "
    "print(NearestNeighbors(n_neighbors=11, metric='cosine').fit(x).kneighbors(x[:1]))"
)
_FAISS = (
    "import faiss, numpy as np; x = np.array(x, np.float32); faiss.normalize_L2(x); "
    "index = faiss.index_factory(x.shape[1], '{factory}'); index.train(x); index.add(x); "
    "faiss.write_index(index, 'codes.faiss')"
)


def suggested_command(chosen: Recommendation, source: str, reading: dict[str, Any], n_features: int) -> str:
    """Return the shell command that stores the items of a source as recommended.

    Floats are searched at once, by the first item. ``reading`` are the options for reading that were given.
    """
    if chosen.order == "cosine":
        return _python(_READ.format(source=_arguments(source, reading)), _EXACT)
    if chosen.method.startswith("faiss "):
        factory = _factory(chosen, n_features)
        return _python(_READ.format(source=_arguments(source, reading)), _FAISS.format(factory=factory))
    given = _options(reading)
    fit = ["gannet", "fit", source, "-o", "codes.model", "--method", chosen.method, "--bits", str(chosen.bits)]
    command = shlex.join(fit) + given
    if chosen.order == "rerank":
        index = ["gannet", "index", source, "-m", "codes.model", "-o", "codes.gannet", "--keep-features"]
        command += f" && {shlex.join(index)}{given}"
    return command


def _factory(chosen: Recommendation, n_features: int) -> str:
    """Return the text by which faiss makes an index."""
    n_bits, n_bytes = chosen.bits or 0, chosen.code_bytes
    match chosen.method:
        case "faiss RaBitQ":
            parts = ["RaBitQ"] if n_bits == n_features else [f"PCA{n_bits}", "RaBitQ"]
        case "faiss OPQ":
            parts = [f"OPQ{n_bytes}_{min(128, n_features) // n_bytes * n_bytes}", f"PQ{n_bytes}"]
        case _:
            parts = [f"PQ{n_bytes}"]
    return ",".join([*parts, *(["Refine(SQfp16)"] if chosen.order == "rerank" else [])])


def _python(*statements: str) -> str:
    return shlex.join(["python", "-c", "; ".join(statements)])


def _arguments(source: str, reading: dict[str, Any]) -> str:
    """Return the arguments of `gannet.data.open_source` as Python."""
    return ", ".join([repr(source), *(f"{name}={value!r}" for name, value in reading.items() if value)])


def _options(reading: dict[str, Any]) -> str:
    """Return options for reading, as they are given on a command line, with a space before each."""
    words = []
    for name, value in reading.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif value:
            for each in [value] if isinstance(value, str) else value:
                words += [option, each]
    return "".join(f" {shlex.quote(word)}" for word in words)
