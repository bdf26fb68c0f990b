"""The budget of memory that decoders share, and the limits that it follows."""

import threading
import time

import pytest

from gannet.support.memory import MemoryBudget, cgroup_limits, memory_limit


def test_threads_reserve_at_most_the_total():
    budget, held, most, lock = MemoryBudget(100), [0], [0], threading.Lock()

    def work(n_bytes):
        for _ in range(30):
            with budget.reserve(n_bytes):
                with lock:
                    held[0] += n_bytes
                    most[0] = max(most[0], held[0])
                time.sleep(0.0002)
                with lock:
                    held[0] -= n_bytes

    threads = [threading.Thread(target=work, args=[size]) for size in (10, 30, 50, 70, 100, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert 0 < most[0] <= 100


def test_more_than_the_total_waits_for_all_of_it():
    with MemoryBudget(10).reserve(50):
        pass


def test_an_error_gives_the_bytes_back():
    budget = MemoryBudget(10)
    with pytest.raises(KeyError), budget.reserve(10):
        raise KeyError
    with budget.reserve(10):
        pass


@pytest.mark.parametrize(
    ("line", "files", "expected"),
    [
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "5000"}, [5000]),
        ("0::/", {"memory.max": "7000"}, [7000]),
        ("0::/a", {}, []),
        (
            "4:cpu,memory:/x\n0::/",
            {"memory/x/memory.limit_in_bytes": "900", "memory/memory.limit_in_bytes": "9"},
            [900, 9],
        ),
        ("3:cpu:/x", {"memory.max": "1"}, []),
    ],
)
def test_limits_of_containers(line, files, expected, tmp_path):
    own, root = tmp_path / "cgroup", tmp_path / "fs"
    own.write_text(line + "\n")
    root.mkdir()
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    assert list(cgroup_limits(own, root)) == expected
    assert list(cgroup_limits(tmp_path / "none", root)) == []


def test_there_is_a_limit():
    assert 1 << 26 < memory_limit() < 1 << 50
