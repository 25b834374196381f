"""Check that every method exports to every format, and that its files give what torch gives.

python examples/checks/exports.py [-m NAME]... [--format KIND]... [--photo FILE]

For each method with its default weights and each format, the command line exports a file. It then
runs at two odd sizes, beside torch in float32, on a photograph (a drawn one without ``--photo``);
once more in ``rainkit infer --backend FILE`` beside ``--backend eager``; and files for ONNX Runtime
also in ``examples/onnx_runtime.py``, in a Python that cannot import torch. A method that ships no
weights gets random ones. The table is Markdown; dB is the PSNR between both results (inf if they
are equal), levels the largest difference of a file's pixels. The script ends with 1 if a file
fails, agrees to less than 80 dB, or differs by more than one level.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rainkit import images, networks, plugins, weights
from rainkit.api import Method
from rainkit.backends import convert, decibels
from rainkit.choices import ExportFormat
from rainkit.errors import exiting
from rainkit.precision import choose_runtime

EXAMPLE = Path(__file__).resolve().parents[1] / "onnx_runtime.py"
WITHOUT_TORCH = (
    "import runpy, sys; sys.modules['torch'] = None; sys.argv = sys.argv[1:];"
    " runpy.run_path(sys.argv[0], run_name='__main__')"
)
SIZES = ((97, 131), (161, 75))
LEAST_DB = 80.0
HEADINGS = ("method", "weights", "format", "kB", *(f"dB at {w}x{h}" for h, w in SIZES),
            "`infer`, levels", "without torch, levels")  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-m", "--method", action="append", help="these methods alone; repeatable")
    kinds = [str(kind) for kind in ExportFormat]
    parser.add_argument("--format", action="append", choices=kinds, help="these formats alone")
    parser.add_argument("--photo", type=Path, help="a rainy photograph of 161x131 px or more")
    given = parser.parse_args(arguments)
    names = given.method or [each.name for each in plugins.installed() if not each.problem]
    methods = [method for name in names if (method := plugins.get(name)).checkpoints is None]
    faults = []
    print("|", " | ".join(HEADINGS), "|")
    print("|" + "---|" * 3 + "--:|" * (len(HEADINGS) - 3))
    with tempfile.TemporaryDirectory() as folder:
        for method in methods:
            for kind in given.format or kinds:
                began = time.perf_counter()
                try:
                    cells = checked(method, kind, photograph(given.photo), Path(folder))
                except CheckError as fault:
                    faults.append(f"{method.name} {kind}: {fault}")
                    cells = (method.name, "", kind, "failed")
                print("|", " | ".join(cells), "|", flush=True)
                took = time.perf_counter() - began
                print(f"({method.name} {kind} took {took:.0f} s)", file=sys.stderr, flush=True)
    print(*faults, sep="\n", file=sys.stderr)
    return 1 if faults else 0


class CheckError(Exception):
    """A file is not as it should be."""


def photograph(path: Path | None) -> Tensor:
    """Return a picture [1,3,161,131] of which both sizes are parts."""
    height, width = (max(each) for each in zip(*SIZES, strict=True))
    if path is None:
        return convert.photograph(height, width)
    rgb = images.read(path).rgb
    if rgb.shape[0] < height or rgb.shape[1] < width:
        sys.exit(f"{path}: is smaller than {width}x{height} px; take another --photo")
    top, left = (rgb.shape[0] - height) // 2, (rgb.shape[1] - width) // 2
    return images.to_tensor(rgb[top : top + height, left : left + width])


def checked(method: Method, kind: str, photo: Tensor, folder: Path) -> tuple[str, ...]:
    """Export a method, run the file in all ways, and return the cells of its row."""
    file = folder / f"{method.name}{convert.SUFFIXES[kind]}"
    chosen = () if method.weights else ("--weights", str(random_weights(method, folder)))
    told = json.loads(
        rainkit("export", "-m", method.name, *chosen, "--format", kind, "-o", str(file),
                "--overwrite", "--json")
    )  # fmt: skip
    found = weights.find(method, chosen[1] if chosen else None)
    spec = method.image(found.network)
    network = weights.load(networks.build(method, found.network), found)
    exact = networks.prepare(network, spec, choose_runtime("cpu", "fp32", spec))
    run = convert.open_file(file)
    agreements = []
    with torch.inference_mode():
        for height, width in SIZES:
            rainy = photo[..., :height, :width]
            agreements.append(decibels(run(rainy), exact(rainy)))
    if not min(agreements) >= LEAST_DB:
        raise CheckError(f"agrees with torch to {min(agreements):.1f} dB only")
    height, width = SIZES[0]
    picture, target = folder / "rainy.png", folder / "clean.png"
    Image.fromarray(images.to_array(photo[..., :height, :width], np.uint8)).save(picture)
    ways: dict[str, Path] = {}
    for backend in ("eager", str(file)):
        ways[backend] = folder / f"{len(ways)}.png"
        rainkit("infer", str(picture), "-m", method.name, *chosen, "--device", "cpu",
                "--precision", "fp32", "--backend", backend, "-o", str(ways[backend]),
                "--overwrite")  # fmt: skip
    levels = [apart(ways["eager"], ways[str(file)])]
    if kind == ExportFormat.ONNX:
        called("-c", WITHOUT_TORCH, str(EXAMPLE), str(file), str(picture), str(target))
        plain = folder / "plain.png"
        with torch.inference_mode():
            pixels = images.to_array(exact(images.to_tensor(images.read(picture).rgb)), np.uint8)
        Image.fromarray(pixels).save(plain)  # infer may keep what is too faint to be rain
        levels.append(apart(plain, target))
    if max(levels) > 1:
        raise CheckError(f"pixels differ by {max(levels)} levels")
    size = file.stat().st_size
    if kind == ExportFormat.OPENVINO:
        size += file.with_suffix(".bin").stat().st_size
    shown = (f"{each:.0f}" if math.isfinite(each) else "inf" for each in agreements)
    name = "random" if chosen else found.name.partition(".")[2]
    cells = (method.name, name, told["format"], f"{size / 1e3:,.0f}", *shown, *map(str, levels))
    return (*cells, *[""] * (len(HEADINGS) - len(cells)))


def random_weights(method: Method, folder: Path) -> Path:
    """Write random weights of a method's default network, and return the file."""
    path, settings = folder / f"{method.name}.safetensors", method.default.network
    torch.manual_seed(0)
    state = networks.build(method, settings).state_dict()
    weights.save(path, state, method=method, variant="default", network=settings)
    return path


def rainkit(*arguments: str) -> str:
    """Run a command of rainkit in a process of its own; return what it prints."""
    return called("-m", "rainkit", *arguments)


def called(*arguments: str) -> str:
    """Run Python; return what it prints."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["nothing was said"]
        raise CheckError(f"{' '.join(arguments)[:80]}: exit code {done.returncode}: {last[0]}")
    return done.stdout


def apart(one: Path, other: Path) -> int:
    """Return the largest difference of two pictures in grey levels."""
    first, second = (np.asarray(Image.open(path), np.int16) for path in (one, other))
    return int(np.abs(first - second).max())


if __name__ == "__main__":
    with exiting():
        sys.exit(main())
