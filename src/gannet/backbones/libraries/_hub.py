"""What a copy of a repository of the Hugging Face hub says about its weights: the commit and the license."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

WEIGHT_FILES = ("model.safetensors", "open_clip_model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin")
CONFIG_FILES = ("config.json", "open_clip_config.json")


def commit_of(
    repository: str, revision: str | None = None, files: Iterable[str] = WEIGHT_FILES + CONFIG_FILES
) -> str | None:
    """Return the commit of a repository's copy in the hub's cache, or None if there is none; contact nobody."""
    from huggingface_hub import try_to_load_from_cache

    for file in files:
        path = try_to_load_from_cache(repository, file, revision=revision)
        if isinstance(path, str):
            return Path(path).parent.name
    return None


def license_of(repository: str, commit: str | None) -> str | None:
    """Return the license that the repository's model card names; None if the card can't be read or names none."""
    from huggingface_hub import hf_hub_download

    try:
        return license_in(Path(hf_hub_download(repository, "README.md", revision=commit)))
    except Exception:  # no card in the cache, and a hub that fails in any way
        return None


def license_in(card: Path) -> str | None:
    """Return the license in the front matter of a model card, or None."""
    try:
        text = card.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    front = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    found = re.search(r"^license:\s*['\"]?([\w.+-]+)['\"]?\s*$", front[1], re.MULTILINE) if front else None
    return found[1].lower() if found else None
