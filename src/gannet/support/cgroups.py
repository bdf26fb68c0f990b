"""The files of the control groups that limit a process, in versions 1 and 2 of Linux's cgroups."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

OWN, ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def group_files(own: Path, root: Path, name: str, old: tuple[str, str] | None = None) -> Iterator[str]:
    """Yield the contents of the file ``name`` of the groups that a process is in, and of the groups around them.

    ``own`` is the file that names the groups of the process (`OWN`), and ``root`` the folder of all groups (`ROOT`).
    ``old`` is the controller and the name of the file in version 1, whose groups are left out without it.
    """
    try:
        lines = own.read_text().splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        top, file = root, name
        if controllers:
            if old is None or old[0] not in controllers.split(","):
                continue
            top, file = root / old[0], old[1]
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(top):
                with contextlib.suppress(OSError, ValueError):
                    yield (folder / file).read_text()
