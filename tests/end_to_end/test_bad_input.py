"""``rainkit infer`` against input that must not break anything: exit code, line, files."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from rainkit import images
from rainkit.images import Picture

PHOTO = np.ascontiguousarray(data.coffee()[100:148, 100:172])


@pytest.fixture(scope="session")
def arguments(tiny_weights: Path) -> list[str]:
    """``infer`` with a tiny random network."""
    return ["infer", "--method", "tiny", "--weights", str(tiny_weights), "--device", "cpu"]


@dataclasses.dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(rainkit: Callable[..., tuple[int, str, str]], arguments: list[str]) -> Callable[..., Ran]:
    """Run the command line in this process."""

    def run_with(*more: object) -> Ran:
        ran = Ran(*rainkit(*arguments, *more))
        assert "Traceback" not in ran.err
        return ran

    return run_with


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("[!.]*") if p.is_file()}


def test_odd_but_good_pictures_are_all_done(run, tmp_path: Path):
    odd = tmp_path / "odd"
    images.write(odd / "one.png", Picture(PHOTO[:1, :1].copy()))
    images.write(odd / "flat.png", Picture(np.tile(PHOTO[:3, :50], (1, 40, 1))))
    images.write(odd / "grey16.tif", Picture(PHOTO.astype(np.uint16) * 257, grey=True))
    images.write(odd / "naïve 雨.webp", Picture(PHOTO))
    Image.fromarray(PHOTO).quantize(32).save(odd / "palette.png")
    done = run(odd)
    assert done.code == 0, done.err
    out = tmp_path / "odd-tiny"
    assert files(out) == files(odd)
    sizes = {name: images.read(out / name).size for name in files(out)}
    assert sizes == {name: images.read(odd / name).size for name in files(odd)}
    assert sizes["flat.png"] == (2000, 3)
    assert images.read(out / "grey16.tif").rgb.dtype == np.uint16


def test_bad_pictures_are_named_counted_and_passed_over(run, tmp_path: Path):
    bad = tmp_path / "bad"
    images.write(bad / "good.jpg", Picture(PHOTO))
    (bad / "text.jpg").write_text("not a picture\n" * 50)
    (bad / "cut.jpg").write_bytes((bad / "good.jpg").read_bytes()[:1500])
    (bad / "nothing.png").touch()
    done = run(bad)
    assert done.code == 1
    for name in ("text.jpg", "cut.jpg", "nothing.png"):
        assert len(re.findall(f"failed: .*{re.escape(name)}: ", done.err)) == 1
    assert "1 picture derained, 3 failed" in done.out
    assert files(tmp_path / "bad-tiny") == {"good.jpg"}


def test_an_empty_folder_is_wrong_use(run, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    done = run(tmp_path / "empty")
    assert done.code == 2
    assert "empty: holds no picture" in done.err
    assert not files(tmp_path)


def _tmpfs(folder: Path, options: str) -> bool:
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None:
        return False
    words = [mount, "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 64 KiB, where tests may mount one."""
    disk = tmp_path / "disk"
    if not _tmpfs(disk, "size=64k"):
        pytest.skip("needs the right to mount a tmpfs")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)  # noqa: S607


def test_a_full_disk_leaves_no_partial_file(run, tmp_path: Path, small_disk: Path):
    noise = np.random.default_rng(0).integers(0, 256, (70, 100, 3), np.uint8)  # 21 kB as PNG
    for i in range(6):
        images.write(tmp_path / "photos" / f"{i}.png", Picture(noise))
    done = run(tmp_path / "photos", "-o", small_disk)
    assert done.code == 1
    assert "No space left on device" in done.err
    assert "not attempted" in done.err
    written = files(small_disk)
    assert written
    assert written < {f"{i}.png" for i in range(6)}
    assert all(images.read(small_disk / name).size == (100, 70) for name in written)


def test_a_read_only_folder_is_named_at_once(run, tmp_path: Path):
    images.write(tmp_path / "photos" / "a.png", Picture(PHOTO))
    out = tmp_path / "out"
    out.mkdir(mode=0o500)
    mounted = False
    if os.access(out, os.W_OK):  # permissions do not hold the superuser back
        out.rmdir()
        mounted = _tmpfs(out, "ro")
        if not mounted:
            pytest.skip("needs the right to mount a tmpfs")
    try:
        done = run(tmp_path / "photos", "-o", out)
        assert not files(out)
    finally:
        if mounted:
            subprocess.run(["umount", str(out)], check=True)  # noqa: S607
    assert done.code == 1
    assert re.search(r"out: results cannot be written there \(.*\); name another", done.err)
    assert not done.out


def test_ctrl_c_says_how_far_it_came(arguments: list[str], tmp_path: Path):
    large = np.ascontiguousarray(np.tile(data.coffee(), (1, 2, 1)))
    for i in range(12):
        images.write(tmp_path / "photos" / f"{i}.png", Picture(large))
    out = tmp_path / "photos-tiny"
    started = subprocess.Popen(
        [sys.executable, "-m", "rainkit", *arguments, str(tmp_path / "photos")],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not (out / "0.png").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        started.send_signal(signal.SIGINT)
        _, err = started.communicate(timeout=60)
    finally:
        started.kill()
    assert started.returncode == 130
    assert "Traceback" not in err
    stopped = re.search(r"stopped by Ctrl-C: (\d+) of 12 pictures done", err)
    assert stopped is not None, err
    written = files(out)
    assert 1 <= len(written) < 12
    assert len(written) == int(stopped[1])
    assert all(images.read(out / name).size == (1200, 400) for name in written)
