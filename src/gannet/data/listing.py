"""What a listing of a folder or archive left out: named with a reason, or counted by its kind."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from gannet.data.base import Skipped
from gannet.data.files import extension
from gannet.data.formats import IMAGE_EXTENSIONS, UNREAD_EXTENSIONS, unread
from gannet.data.options import DEFAULT_EXCLUDE
from gannet.errors import GannetError

_KINDS_SHOWN = 12
#: Photos, films and drawings that are not read: their kinds are always shown.
_PICTURES = (
    ".3fr .3gp .ai .arw .avi .cr2 .cr3 .crw .dng .eps .erf .exr .hdr .iiq .insv .kdc .kra .m2ts .m4v .mkv .mov .mp4 "
    ".mpeg .mpg .mrw .mts .nef .nrw .orf .pef .psb .psd .raf .raw .rw2 .rwl .srf .srw .tga .webm .wmv .x3f .xcf"
)


class Listing:
    """The record of one listing; ``skipped`` are the files that could not be read, with the reason.

    ``exclude`` are patterns of names or relative paths to leave out, in addition to the default ones. An empty pattern
    turns the default ones off.
    """

    def __init__(self, exclude: Sequence[str] = ()) -> None:
        self.skipped: list[Skipped] = []
        self._passed_over: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._patterns = [*(() if "" in exclude else DEFAULT_EXCLUDE), *filter(None, exclude)]
        self._any = _one_pattern(pattern for pattern in self._patterns if "/" not in pattern)
        self._any_path = _one_pattern(pattern.strip("/") for pattern in self._patterns if "/" in pattern)

    def excludes(self, name: str, path: str) -> bool:
        """Return whether a file or folder is left out by its name or by its path within the source, and count it."""
        found = self._any.match(name) or self._any_path.match(path)
        if found:
            matching = (p for p in self._patterns if _one_pattern([p.strip("/")]).match(path if "/" in p else name))
            self._left_out[next(matching)] += 1
        return found is not None

    def excludes_member(self, path: str) -> bool:
        """Return whether a member of an archive, or a folder that it lies in, is left out, and count it."""
        parts = path.split("/")
        return any(self.excludes(part, "/".join(parts[: place + 1])) for place, part in enumerate(parts) if part)

    def takes(self, name: str, path: str) -> bool:
        """Return whether a file is an image that is read; if not, name or count it."""
        kind = extension(name)
        if kind in IMAGE_EXTENSIONS:
            return True
        if kind in UNREAD_EXTENSIONS:
            self.skip(path, unread(kind))
        else:
            self.pass_over(kind or "without extension")
        return False

    def skip(self, path: str, reason: str) -> None:
        """Name something that cannot be read."""
        self.skipped.append(Skipped(path, reason))

    def pass_over(self, kind: str) -> None:
        """Count something that is not an image by its kind."""
        self._passed_over[kind] += 1

    def notes(self) -> list[str]:
        """Return lines about the counted files."""
        notes = []
        if self._passed_over:
            kinds = self._passed_over.most_common()
            names = {kind for kind, _ in kinds[:_KINDS_SHOWN]} | set(_PICTURES.split())
            parts = [f"{count:,} {kind}" for kind, count in kinds if kind in names]
            rest = sum(count for kind, count in kinds if kind not in names)
            if rest:
                parts.append(f"{rest:,} of other kinds")
            notes.append(f"passed over: {', '.join(parts)}")
        if self._left_out:
            parts = [f"{count:,} {pattern}" for pattern, count in self._left_out.most_common()]
            by_default = any(pattern in DEFAULT_EXCLUDE for pattern in self._left_out)
            hint = " (--exclude '' turns the default patterns off)" if by_default else ""
            notes.append(f"left out by pattern: {', '.join(parts)}{hint}")
        return notes

    def no_images(self, where: str) -> GannetError:
        """Return the error for a folder or archive without an image that can be read."""
        looked_for = " ".join(sorted(IMAGE_EXTENSIONS))
        why = "".join(f"; {note}" for note in self.notes())
        for first in self.skipped[:1]:
            why = f"; {len(self.skipped)} left out, the first: {first.path}: {first.reason}{why}"
        return GannetError(f"no images in {where}: looked for {looked_for}{why}")


def _one_pattern(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return one expression for several patterns, which matches without regard to case."""
    parts = [fnmatch.translate(pattern) for pattern in patterns]
    return re.compile("|".join(parts) or r"(?!)", re.IGNORECASE)
