"""Progress without a terminal: nothing, or a line from time to time."""

from __future__ import annotations

import re
import time

import pytest

from gannet.support.progress import progress, progress_lines


def test_without_a_terminal_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(100, "reading", "img") as bar:
        bar.update(50)
    assert capsys.readouterr() == ("", "")


def test_lines_are_printed_when_they_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_lines(0.05):
        for total in (2000, None):
            with progress(total, "reading", "img") as bar:
                for _ in range(4):
                    bar.update(250)
                    bar.update(250)
                    time.sleep(0.06)
        with progress(10, "quiet", hidden=True) as bar:
            time.sleep(0.06)
            bar.update(10)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and "\r" not in err and len(lines) == 6
    assert re.fullmatch(r"reading: 38% 750/2\.00k \[00:00<00:00, .*img/s\]", lines[0])
    assert re.fullmatch(r"reading: 750img \[00:00, .*img/s\]", lines[3])
    with progress(100, "reading") as bar:
        bar.update(100)
    assert capsys.readouterr().err == ""


def test_lines_are_half_a_minute_apart(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with progress_lines(), progress(1000, "training", "step") as bar:
        for _ in range(100):
            now += 1
            bar.update(10)
    assert [line.split()[1] for line in capsys.readouterr().err.splitlines()] == ["30%", "60%", "90%"]
