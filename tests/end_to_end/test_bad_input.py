"""``rainkit infer`` against input that must not break anything: exit code, line, files."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
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


def kinds() -> dict[str, bytes]:
    """Small pictures of all formats and modes, by name."""
    rgb, grey, clear = PHOTO[:16, :24], PHOTO[:16, :24, 1], PHOTO[16:32, :24, 0]
    found: dict[str, bytes] = {}

    def save(name: str, image: Image.Image, **options: object) -> None:
        file = io.BytesIO()
        kind = Image.registered_extensions()[Path(name).suffix]
        image.save(file, kind, **options)
        found[name] = file.getvalue()

    colour, level = Image.fromarray(rgb), Image.fromarray(grey)
    with_alpha = Image.fromarray(np.dstack([rgb, clear]))
    moving = {"save_all": True, "append_images": [Image.fromarray(np.roll(rgb, 3, 1))]}
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        save(f"{mode}.png", with_alpha.convert(mode))
        save(f"{mode}.tif", with_alpha.convert(mode), compression="tiff_adobe_deflate")
        save(f"{mode}.webp", with_alpha.convert(mode))
        save(f"{mode}.gif", with_alpha.convert(mode))
    for mode in ("1", "L", "P", "RGB"):
        save(f"{mode}.bmp", colour.convert(mode))
    for compression in ("raw", "tiff_lzw", "jpeg", "packbits"):
        save(f"{compression}.tif", colour, compression=compression)
    for mode in ("CMYK", "YCbCr"):
        save(f"{mode}.tiff", colour.convert(mode))
    for mode in ("L", "RGB", "CMYK"):
        save(f"{mode}.jpg", colour.convert(mode), quality=60)
    save("progressive.jfif", colour, progressive=True)
    save("rgb.jpeg", colour, keep_rgb=True)
    save(
        "turned.jpg", colour, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    )
    save("deep grey.png", Image.fromarray(grey.astype(np.uint16) * 257))
    for suffix in ("png", "gif", "webp", "tiff"):
        save(f"moving.{suffix}", colour, **moving)
    save("grey.avif", level)
    save("colour.avif", colour, speed=10)
    for name in ("deep.png", "deep.tif", "colour.heic", "deep.heic"):
        deep = Picture(rgb.astype(np.uint16) * 257, clear.astype(np.uint16) * 257)
        found[name] = images.encode(Picture(rgb) if name[0] == "c" else deep, Path(name).suffix)
    return found


def bombs() -> dict[str, bytes]:
    """Files whose headers promise billions of pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    png += chunk(b"IDAT", zlib.compress(bytes(1 << 20))) + chunk(b"IEND", b"")
    bmp = b"BM" + struct.pack(
        "<IIIIiiHHIIiiII", 99, 0, 54, 40, 50_000, 50_000, 1, 24, 0, 0, 0, 0, 0, 0
    )
    gif = b"GIF89a" + struct.pack("<HHBBB", 65_000, 65_000, 0x80, 0, 0) + bytes(6)
    gif += b"," + struct.pack("<HHHHB", 0, 0, 65_000, 65_000, 0) + b"\2\2\x4c\1\0;"
    return {"bomb.png": png, "bomb.bmp": bmp + bytes(99), "bomb.gif": gif}


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Give a list of the process's memory in bytes, from the beginning and every 20 ms."""
    process, ended = psutil.Process(), threading.Event()
    found = [process.memory_info().rss]

    def watch() -> None:
        while not ended.wait(0.02):
            found.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        ended.set()
        watcher.join()


@pytest.mark.filterwarnings("ignore")
def test_a_hostile_folder_is_derained_to_its_end(
    run, tmp_path: Path, record_property: Callable[[str, object], None]
):
    """Some 300 files of all kinds: each is accounted for, what is whole is done, in little memory.

    The process grew by 33 MiB where this was written, beside the network that it had loaded.
    """
    home, whole, broken = tmp_path / "hostile", {}, {}
    for name, content in kinds().items():
        whole[name] = content
        if not name.endswith(("webp", "heic", "avif")):
            whole[f"wrong/{name}.webp"] = content
        broken[f"cut/{name}"] = content[: len(content) // 3]
        broken[f"later/{name}"] = content[: len(content) * 2 // 3]
        broken[f"end/{name}"] = content[:24]
    broken |= {f"empty{suffix}": b"" for suffix in images.SUFFIXES} | bombs()
    broken |= {"text.jpg": b"no picture\n" * 99, "page.png": b"<html></html>"}
    broken |= {
        "camera.tif": b"II*\0\x10\0\0\0CR\2\0" + bytes(99),
        "a.exr.png": b"\x76\x2f\x31\x01" * 9,
    }
    good = whole["RGB.png"]
    names = [
        "a b.png",
        "🌧 雨.png",
        "new\nline.png",
        "-o.png",
        "--help.png",
        "%s{0}$HOME.png",
        "'.png",
    ]
    whole |= dict.fromkeys(names, good) | {"a" * 240 + ".png": good}
    for size in ((1, 1), (1, 5000), (5000, 1)):
        thin = np.resize(PHOTO, (*size, 3))
        whole[f"{size[0]}x{size[1]}.png"] = images.encode(Picture(thin), ".png")
    for name, content in (whole | broken).items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(content)
    (home / os.fsdecode("雨1.png".encode("gbk"))).write_bytes(good)
    os.mkfifo(home / "pipe.png")
    (home / "folder.png").mkdir()
    (home / "dangling.png").symlink_to(home / "nowhere.png")
    (home / "self.png").symlink_to(home / "self.png")
    (home / "cut" / "loop").symlink_to(home)
    (home / "notes.txt").touch()
    with peak_memory() as peak:
        ran = run(home, "--json")
    assert ran.code == 1, ran.err
    grown = max(peak) - peak[0]
    record_property("peak_memory_mib", grown >> 20)
    assert grown < 400 << 20, f"grew by {grown >> 20} MiB"  # the bombs alone hold 32 GB of pixels
    told = {each["input"]: each for each in json.loads(ran.out)["pictures"]}
    assert len(told) == len(whole) + len(broken) + 4 >= 200
    for name in whole:
        each = told[str(home / name)]
        assert (each["status"], each["error"]) == ("done", None)
        assert Path(each["output"]).is_file()
    for name in (*broken, "pipe.png", "dangling.png", "self.png"):
        each = told[str(home / name)]
        assert each["status"] == "failed", name
        assert str(home / name).replace("\n", " ") in each["error"]
        assert not Path(each["output"]).exists()
    made = files(tmp_path / "hostile-tiny")
    assert len(made) == len(whole) + 1
    assert not list((tmp_path / "hostile-tiny").rglob(".rainkit-?????????????*"))
