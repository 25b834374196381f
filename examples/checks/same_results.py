"""Show that two versions of rainkit make the same datasets, pictures, scores and weights.

    $ python examples/checks/same_results.py make before.json
    $ python examples/checks/same_results.py make after.json       # with the other version
    $ python examples/checks/same_results.py compare before.json after.json

``make`` runs the commands of ``COMMANDS`` on inputs that it draws itself from scikit-image's
photographs, and stores everything that they leave: what JSON, CSV and headers of weights hold value
by value, text as it is, tensors and other files as SHA-256. What tells of the moment or of the
machine is left out: see ``DROPPED``, ``UNREAD`` and ``_normalised``. It ends with 1 if a command
ends with an unexpected code, or if two steps of ``ALIKE``, such as those with one worker and with
two, left unlike files.

``compare`` lists what differs, and then ends with 1. Networks round as the processor and the
libraries do, so compare files that were made on one machine and in one environment. If the command
lines of two versions differ, each takes its own copy of this script with its own ``COMMANDS``; the
names of steps must stay. The script imports nothing of rainkit.
"""

from __future__ import annotations

import argparse
import csv
import difflib
import fnmatch
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open

TRAIN = (
    "--device cpu --seed 3 --json -o {out} --set training.batch=2 --set training.patch=32 "
    "--set training.steps=20 --set training.epoch_steps=10 --set training.warmup_steps=4 "
    "--set training.ema=0.9 --set data.jpeg=0.5"
)
"""A training in which critics join after an epoch, and of whose steps each changes the average."""

TINY = {
    "freq-gan": "--set network.stages=2 --set network.width=8 --set objective.alone_epochs=1",
    "granet": "--set network.width=8 --set network.growth=8 --set network.layers=2",
    "graspp-gan": "--set network.width1=8 --set network.width2=8 --set network.width3=8 "
    "--set network.width4=8 --set network.context=8 --set objective.alone_epochs=0",
    "prenet": "--set network.stages=2",
    "resguidenet": "--set network.blocks=2",
    "timelapse": "--set network.widths=8,8,16",
}
"""What ``{tiny}`` stands for; another method trains as it is."""

COMMANDS: dict[str, str | tuple[str, ...]] = {
    # Datasets: presets, layouts, depth, fog, side outputs, sequences, noise, shards.
    "synth-pairs": "synth photos -o {out} --preset rain100l --variants 2 --test-scenes 1 --seed 1 "
    "--workers 1 --report --json",
    "synth-two-workers": "synth photos -o {out} --preset rain100l --variants 2 --test-scenes 1 "
    "--seed 1 --workers 2 --report --json",
    "synth-guess": "synth photos -o {out} --rate light --rate heavy --variants 2 --layout hf "
    "--test-scenes 1 --set split_seed=4 --depth auto --set save=mask,trans --seed 2 --json",
    "synth-maps": "synth photos -o {out} --preset misty --rate 20 --depth maps --format jpg "
    "--set save=trans --json",
    "synth-halves": "synth photos -o {out} --preset rain100l --layout did --json",
    "synth-options": "synth photos -o {out} --rain streak_gain=40 --rain wind_m_s=3 --rain dim=0.9 "
    "--rain gamma=1.2 --rain light=linear --rain fog_gain=2 --rain fov_deg=45 --depth 60 "
    "--layout ddn --json",
    "synth-heavy": "synth photos -o {out} --preset rain100h --layout rain100 "
    "--set group_by=([a-z]) --test-scenes 1 --json",
    "synth-wide": "synth photos -o {out} --preset wide --layout wds --set manifest_format=parquet "
    "--json",
    "synth-short": "synth photos -o {out} --preset short --layout spa --json",
    "synth-recipe": "synth photos -o {out} --config recipe.toml --json",
    "synth-scenes": "synth photos -o {out} --preset spa --sequence 4 --test-scenes 1 --json",
    "synth-moving": "synth photos -o {out} --preset physical --depth none --sequence 3 "
    "--set fps=25 --json",
    "synth-noise": "synth photos -o {out} --noise 25 --json",
    "synth-shards": (
        "synth photos -o {out} --preset rain12 --shard 1/2 --json",
        "synth photos -o {out} --preset rain12 --shard 2/2 --json",
    ),
    "synth-verify": "data verify synth-guess/manifest.jsonl --json",
    "synth-rebuild": "data rebuild synth-pairs/manifest.jsonl photos -o {out} --layout rain100 "
    "--json",
    "synth-video": "data frames video.avi -o {out} --frames 4 --json",
    # Datasets out of datasets.
    "data-mix": "data merge synth-pairs/train:3 synth-heavy/train:2 -o {out} --seed 5 "
    "--against synth-pairs/test --json",
    "data-audit": "data audit synth-pairs/train pairs --json",
    "data-audit-one": "data audit twins --photos --json",
    "data-average": "data average synth-scenes -o {out} --by median --frames 3 --json",
    "data-average-pairs": "data average synth-scenes -o {out} --pairs --json",
    # Pictures.
    "infer-whole-{method}": "infer small/input -m {method} -o {out} --parts --tile 0 "
    "--precision fp32 --device cpu --json",
    "infer-tiles-{method}": "infer small/input -m {method} -o {out} --tile 64 --precision fp32 "
    "--device cpu --json",
    "infer-bf16-{method}": "infer one -m {method} -o {out} --precision bf16 --device cpu --json",
    "infer-kinds": "infer kinds -m resguidenet -o {out} --quality 90 --report --device cpu --json",
    "infer-blocks": "infer small/input -m resguidenet -o {out} --effort 2 --device cpu --json",
    "infer-until": "infer small/input -m resguidenet -o {out} --effort auto:3 --device cpu --json",
    "infer-weights": "infer one -m freq-gan --weights rain-v1 -o {out} --device cpu --json",
    # Scores.
    "eval-methods": "eval pairs synth-pairs -o {out} -m granet -m resguidenet --protocol prenet "
    "--protocol restormer-py --metric gmsd --metric mae --metric ms_ssim --metric rain_left "
    "--metric streak_energy --by rate --limit 2 --also parts --also published "
    "--report --device cpu --json",
    "eval-folders": "score infer-whole-granet small/target --input small/input -o {out} "
    "--protocol rgb+exact --protocol spanet+exact --metric fsim --metric tv --json",
    "eval-perfect": "score small/target small/target -o {out} --json",
    "eval-averages": "eval synth-scenes -o {out} --also median=3 -m timelapse --device cpu --json",
    "eval-no-target": "no-target small/input -o {out} -m resguidenet --device cpu --json",
    "eval-bars": (
        "score small/input small/target -o {out} --protocol rgb --protocol spanet --json",
        "compare eval-folders {out} --max-drop psnr=0.5 --json",
    ),
    "eval-compare": "compare eval-methods -o {out} --json",
    # Weights, of 20 steps.
    "train-pairs": "train -m graspp-gan --pairs pairs@0.4 --clean photos@0.6 --validate small "
    "--set run.workers=0 --set objective.alone_epochs=1 --set data.enlarge=0.5 "
    "--set data.match_tone=true " + TRAIN,
    "train-pairs-worker": "train -m graspp-gan --pairs pairs@0.4 --clean photos@0.6 "
    "--validate small --set run.workers=1 --set objective.alone_epochs=1 --set data.enlarge=0.5 "
    "--set data.match_tone=true " + TRAIN,
    "train-frames": "train -m timelapse --scenes scenes --validate small --set run.workers=0 "
    + TRAIN,
    "train-frames-worker": "train -m timelapse --scenes scenes --validate small "
    "--set run.workers=1 " + TRAIN,
    "train-tiny-{method}": "train -m {method} {source} --validate small --set run.workers=0 {tiny} "
    + TRAIN,
    "train-settings": "train -m resguidenet --clean photos --validate small --set run.workers=0 "
    "--set training.accumulate=2 --set training.augment=d4 --set training.schedule=plateau "
    "--set training.patience=0 --set training.factor=0.5 --set training.clip_norm=0.1 " + TRAIN,
    "train-noise": "train -m resguidenet --clean photos --validate small --set run.workers=0 "
    "--set data.degradation=noise --set training.augment=none " + TRAIN,
    # Descriptions.
    "methods-{method}": "methods show {method} --json",
    "weights-trained": "weights inspect train-pairs/last.safetensors --json",
    "weights-{weights}": "weights inspect weights/{weights}.safetensors --json",
}
"""The steps and what each runs; edit these where the command line changes, but not the names.

``{out}`` is a folder named as the step. A step is repeated for each ``{method}`` installed, and for
the ``{weights}`` that they ship.
"""

CODES = {"data-audit": 1, "data-audit-one": 1, "eval-bars": 3}
"""Exit codes, of the last command of a step, that are not 0."""

ALIKE = (
    ("synth-pairs", "synth-two-workers"),
    ("train-pairs", "train-pairs-worker"),
    ("train-frames", "train-frames-worker"),
)
"""Steps that must leave the same but for what they print and ``run.json``."""

DROPPED = frozenset(
    {
        *("seconds", "all_seconds", "milliseconds", "pictures_per_second"),
        *("steps per second", "memory MiB"),
        *("command", "versions", "lib", "python", "platform"),
    }
)
"""Keys of JSON, columns of CSV, and rows of log.csv that tell of the moment or the machine."""

UNREAD = ("*.html", "*events.out.tfevents*", "*/state.pt", "*restored.jsonl")
"""Files that are only named: pages, logs of TensorBoard, what resuming needs, a cache."""

RANDOM = frozenset({"weights-trained: printed: sha256"})
"""Values that are left out: safetensors writes the entries of a header in random order."""

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
SIDES = (168, 184)
"""Height and width that photographs are cut to; MS-SSIM needs 161."""

Results = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="run the commands and store what they leave")
    making.add_argument("out", type=Path, help="JSON file to write")
    making.add_argument("--photos", type=Path, help="folder of other photographs; four are taken")
    making.add_argument("--keep", type=Path, help="new folder for all files (default: a temporary)")
    making.add_argument("--jobs", type=int, default=2, help="commands at a time (default: 2)")
    making.add_argument("--only", metavar="GLOB", action="append", help="these steps; repeatable")
    comparing = commands.add_parser("compare", help="list what differs")
    comparing.add_argument("a", type=Path)
    comparing.add_argument("b", type=Path)
    comparing.add_argument(
        "--except", metavar="GLOB", action="append", default=[], dest="excepted",
        help="leave out values whose name matches, such as 'eval-*: table.md*'; repeatable",
    )  # fmt: skip
    comparing.add_argument("--all", action="store_true", help="list more than 5 values of a file")
    given = parser.parse_args()
    if given.command == "make" and given.photos and not given.photos.is_dir():
        parser.error(f"--photos {given.photos}: no such folder")
    if given.command == "compare":
        return compare(given.a, given.b, given.excepted, everything=given.all)
    if given.keep is None:
        with tempfile.TemporaryDirectory(prefix="same-results-") as folder:
            return make(given.out, Path(folder), given)
    if given.keep.exists() and any(given.keep.iterdir()):
        parser.error(f"--keep {given.keep}: not empty")
    return make(given.out, given.keep.absolute(), given)


def make(out: Path, folder: Path, given: argparse.Namespace) -> int:
    """0 if every command ended as it should and those of ``ALIKE`` agree, else 1."""
    make_inputs(folder, given.photos)
    steps = expanded(copy_weights(folder))
    if given.only:
        steps = {n: c for n, c in steps.items() if any(fnmatch.fnmatch(n, g) for g in given.only)}
    done: dict[str, Future[tuple[Results, list[str]]]] = {}

    def perform(name: str) -> tuple[Results, list[str]]:
        # All of these were started earlier.
        wait([done[other] for other in needed(name, steps)])
        started = time.monotonic()
        found = run_step(name, steps[name], folder)
        say(f"{name}: {time.monotonic() - started:.1f} s")
        return found

    with ThreadPoolExecutor(given.jobs) as pool:
        for name in steps:
            done[name] = pool.submit(perform, name)
    results: Results = {}
    failed = []
    for name, step in done.items():
        found, complaints = step.result()
        results |= found
        failed += [f"{name}: {complaint}" for complaint in complaints]
    apart = [
        f"{a} and {b}" for a, b in ALIKE if {a, b} <= steps.keys() and not alike(results, a, b)
    ]
    about = {
        "rainkit": subprocess.run(
            [sys.executable, "-c", "import rainkit; print(rainkit.__file__)"],
            capture_output=True, text=True, check=True, cwd=folder,
        ).stdout.strip(),
        "made": time.strftime("%Y-%m-%d %H:%M"),
        "steps": list(steps),
        "versions": {
            name: importlib.metadata.version(name) for name in ("torch", "numpy", "opencv-python")
        },
    }  # fmt: skip
    text = json.dumps({"schema": 1, "about": about, "results": results}, indent=1)
    out.write_text(text + "\n", encoding="utf-8")
    say(f"{out}: {len(results)} values of {len(steps)} steps, from {about['rainkit']}")
    for line in failed:
        say(line)
    for pair in apart:
        say(f"not alike: {pair}")
    return 1 if failed or apart else 0


def needed(name: str, steps: Mapping[str, Sequence[str]]) -> list[str]:
    """The steps whose folders the commands of a step name."""
    words = set(re.findall(r"[\w.-]+", " ".join(steps[name])))
    return [other for other in steps if other in words and other != name]


def run_step(name: str, lines: Sequence[str], folder: Path) -> tuple[Results, list[str]]:
    """What the commands of a step print and leave, and what went wrong."""
    found: Results = {}
    complaints = []
    for turn, line in enumerate(lines, start=1):
        done = rainkit(line, folder)
        printed = f"{name}: printed" + (f" by {turn}" if turn > 1 else "")
        found |= _from_json(printed, done.stdout, folder)
        found[f"{name}: exit code"] = done.returncode
        if done.returncode != (CODES.get(name, 0) if turn == len(lines) else 0):
            told = done.stderr[-2000:].strip()
            complaints.append(f"rainkit {line}\nended with {done.returncode}:\n{told}")
    found |= collected(folder, name)
    return {key: value for key, value in found.items() if key not in RANDOM}, complaints


def expanded(shipped: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Every step with its command lines; ``shipped`` are the names of weights by method."""
    steps: dict[str, list[str]] = {}
    for pattern, lines in COMMANDS.items():
        for method, names in shipped.items():
            for weights in names or [""]:
                name = pattern.format(method=method, weights=weights)
                frames = method == "timelapse"
                filled = {
                    "out": name,
                    "method": method,
                    "weights": weights,
                    "tiny": TINY.get(method, ""),
                    "source": "--scenes scenes" if frames else "--pairs pairs --clean photos",
                }
                each = [lines] if isinstance(lines, str) else lines
                steps.setdefault(name, [line.format(**filled) for line in each])
    return steps


def rainkit(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command line in ``folder``, on the CPU."""
    fixed = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, "-m", "rainkit", *shlex.split(line)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=os.environ | fixed | {"COLUMNS": "100", "NO_COLOR": "1"},
    )


# Inputs


def make_inputs(folder: Path, photos: Path | None) -> None:
    """Draw everything that the commands read and that none of them makes."""
    chance = np.random.default_rng(15)
    for number, (name, photo) in enumerate(photographs(photos).items()):
        small = np.ascontiguousarray(photo[40:136, 40:152])
        save(folder / "photos" / f"{name}.png", photo)
        save(folder / "pairs" / "target" / f"{name}.png", photo)
        save(folder / "pairs" / "input" / f"{name}.png", streaked(photo, chance))
        for twin in ("first", "second"):
            save(folder / "twins" / twin / f"{name}.png", photo)
        if number < 2:
            save(folder / "small" / "input" / f"{name}.png", streaked(small, chance))
            save(folder / "small" / "target" / f"{name}.png", small)
        if number == 0:
            save(folder / "one" / f"{name}.png", streaked(small, chance))
        place = folder / "scenes" / ("test" if number == 3 else "train") / "seq" / f"{name}_01"
        for frame in range(1, 5):
            save(place / f"{frame:04d}.png", streaked(small, chance, most=25))
        save(place / "clean.png", small)
        # Metres: near below, far above, and some pixels that are not known.
        depth = np.linspace(200, 4, SIDES[0], dtype=np.float32)[:, None].repeat(SIDES[1], 1)
        depth[:6, :9] = 0
        (folder / "maps").mkdir(exist_ok=True)
        np.save(folder / "maps" / f"{name}.npy", depth)
    make_kinds(folder / "kinds", streaked(photo, chance))
    size = (320, 240)
    still = np.asarray(Image.fromarray(photo).resize(size))
    video = cv2.VideoWriter(str(folder / "video.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, size)
    for _ in range(16):
        video.write(np.ascontiguousarray(streaked(still, chance, most=40)[..., ::-1]))
    video.release()
    recipe = "[synth]\nrate = [4.0, 30.0]\nvariants = 2\nseed = 6\n\n[rain]\nfov_deg = 50.0\n"
    (folder / "recipe.toml").write_text(recipe, encoding="utf-8")


def photographs(photos: Path | None) -> dict[str, NDArray[np.uint8]]:
    """Four photographs by name, cut to ``SIDES`` around their middle."""
    if photos is None:
        found = {name: getattr(skimage.data, name)() for name in PHOTOGRAPHS}
    else:
        paths = sorted(p for p in photos.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
        found = {path.stem: np.asarray(Image.open(path).convert("RGB")) for path in paths[:4]}
        if len(found) < 4 or any(
            p.shape[0] < SIDES[0] or p.shape[1] < SIDES[1] for p in found.values()
        ):
            sys.exit(
                f"--photos {photos}: four PNG or JPEG files of {SIDES[1]}x{SIDES[0]} are needed"
            )
    cut = {}
    for name, photo in found.items():
        top, left = ((whole - side) // 2 for whole, side in zip(photo.shape, SIDES, strict=False))
        cut[name] = np.ascontiguousarray(photo[top : top + SIDES[0], left : left + SIDES[1]])
    return cut


def streaked(
    photo: NDArray[np.uint8], chance: np.random.Generator, most: int = 90
) -> NDArray[np.uint8]:
    """A photograph behind slanted bright lines."""
    rainy = photo.copy()
    for x, y, length, grey in chance.integers(
        (0, 0, 6, 150), (*photo.shape[1::-1], 30, 250), (most, 4)
    ).tolist():
        cv2.line(rainy, (x, y), (x + length // 4, y + length), (grey,) * 3, 1, cv2.LINE_AA)
    return rainy


def make_kinds(folder: Path, rgb: NDArray[np.uint8]) -> None:
    """One picture in the formats, depths and channels that rainkit reads."""
    folder.mkdir(parents=True)
    deep = rgb.astype(np.uint16)[..., ::-1] * 257
    cv2.imwrite(str(folder / "deep.png"), deep)
    cv2.imwrite(str(folder / "deep.tiff"), deep)
    picture = Image.fromarray(rgb)
    alpha = picture.copy()
    alpha.putalpha(Image.fromarray(np.tile(np.arange(SIDES[1], dtype=np.uint8), (SIDES[0], 1))))
    alpha.save(folder / "alpha.png")
    picture.convert("L").save(folder / "grey.png")
    picture.convert("P").save(folder / "palette.png")
    picture.crop((0, 0, 91, 67)).save(folder / "odd.bmp")
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "turned by a quarter"
    picture.save(folder / "turned.jpg", quality=92, exif=exif)
    picture.save(folder / "plain.webp", quality=90)


def save(path: Path, rgb: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path)


def copy_weights(folder: Path) -> dict[str, list[str]]:
    """The weights that each installed method ships, copied to ``folder``, as METHOD.TAG."""
    shipped: dict[str, list[str]] = {}
    (folder / "weights").mkdir(parents=True)
    for entry in sorted(importlib.metadata.entry_points(group="rainkit.methods")):
        found = importlib.util.find_spec(entry.module)
        if found is None or found.origin is None:
            sys.exit(f"{entry.name}: its module {entry.module} cannot be found")
        shipped[entry.name] = []
        for path in sorted(Path(found.origin).parent.glob("weights/*.safetensors")):
            shipped[entry.name].append(f"{entry.name}.{path.stem}")
            shutil.copyfile(path, folder / "weights" / f"{entry.name}.{path.name}")
    return shipped


# What they leave


def collected(folder: Path, name: str) -> Results:
    """Everything in the folder of a step and in those beside it that begin with its name."""
    found: Results = {}
    for root in [folder / name, *folder.glob(f"{name}-parts")]:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                key = f"{name}: {path.relative_to(folder / name if root.name == name else folder)}"
                found |= content(key, path, folder)
    return found


def content(key: str, path: Path, folder: Path) -> Results:
    """The values of a file, or its hash."""
    key = re.sub(r"(tfevents).*", r"\1", key)  # its name goes on with the time
    if any(fnmatch.fnmatch(path.as_posix(), pattern) for pattern in UNREAD):
        return {key: "there"}
    if path.suffix == ".safetensors":
        return _from_weights(key, path, folder)
    if path.suffix in (".json", ".jsonl", ".csv", ".md", ".tex", ".txt", ".svg"):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            return _from_json(key, text, folder)
        if path.suffix == ".jsonl":
            lines = [json.loads(line) for line in text.splitlines()]
            return dict(_leaves(key, lines, folder))
        if path.suffix == ".csv":
            return _from_csv(key, text, folder)
        return {key: _normalised(text, folder)}
    return {key: _sha256(path.read_bytes())}


def _from_weights(key: str, path: Path, folder: Path) -> Results:
    found: Results = {}
    with safe_open(path, "np") as file:
        for name in file.keys():  # noqa: SIM118
            tensor = file.get_tensor(name)
            about = f"{tensor.dtype} {tensor.shape} ".encode()
            found[f"{key}: tensor {name}"] = _sha256(about + tensor.tobytes())
        for name, text in (file.metadata() or {}).items():
            if name not in DROPPED:
                found |= _from_json(f"{key}: header {name}", text, folder)
    return found


def _from_json(key: str, text: str, folder: Path) -> Results:
    try:
        return dict(_leaves(key, json.loads(text), folder))
    except ValueError:
        return {key: _normalised(text, folder)}


def _from_csv(key: str, text: str, folder: Path) -> Results:
    found: Results = {}
    for number, row in enumerate(csv.DictReader(io.StringIO(text))):
        if row.get("name") in DROPPED:
            continue
        for column, value in row.items():
            if column not in DROPPED:
                found[f"{key}: [{number}].{column}"] = _normalised(value or "", folder)
    return found


def _leaves(key: str, value: Any, folder: Path, where: str = "") -> Iterator[tuple[str, Any]]:
    """Each value in nested ones with where it stands."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name not in DROPPED:
                yield from _leaves(key, each, folder, f"{where}.{name}" if where else name)
        if not value:
            yield f"{key}: {where}", "{}"
    elif isinstance(value, list):
        yield f"{key}: {where}.length", len(value)
        for number, each in enumerate(value):
            yield from _leaves(key, each, folder, f"{where}[{number}]")
    elif isinstance(value, str):
        # A header within a report of it is JSON again.
        nested = _nested(value)
        if nested is None:
            yield f"{key}: {where}", _normalised(value, folder)
        else:
            yield from _leaves(key, nested, folder, where)
    else:
        yield f"{key}: {where}", value


def _nested(text: str) -> dict[str, Any] | list[Any] | None:
    if text[:1] not in ("{", "["):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict | list) else None


_VERSIONS = re.compile(
    r"\b(rainkit[\w-]*|python|numpy|opencv|pillow|torch|piq|scipy) v?\d+(\.\w+)+(\+\w+)?"
)
_COMMANDS = re.compile(r"^(\$ )?rainkit .*$", re.MULTILINE)
_LAST_COLUMN = re.compile(r"([|&]) *[\d.]+ *(\||\\\\)$", re.MULTILINE)


def _normalised(text: str, folder: Path) -> str:
    """Text without versions, command lines, columns of times, and the folder of this run."""
    text = text.replace(f"{folder}/", "").replace(str(folder), ".")
    text = _COMMANDS.sub("rainkit ...", _VERSIONS.sub(r"\1 VERSION", text))
    if "time ms" in text:
        text = _LAST_COLUMN.sub(r"\1 TIME \2", text)
    return text if len(text) < 20_000 else _sha256(text.encode())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def alike(results: Results, a: str, b: str) -> bool:
    """Whether two steps left the same."""
    left = [
        {
            key.removeprefix(f"{step}: "): value
            for key, value in results.items()
            if key.startswith(f"{step}: ")
            and not key.startswith((f"{step}: printed", f"{step}: run.json"))
        }
        for step in (a, b)
    ]
    for key in sorted(left[0].keys() | left[1].keys()):
        if left[0].get(key) != left[1].get(key):
            say(f"{a} and {b}: {key} differs")
    return left[0] == left[1]


# Comparing


def compare(a: Path, b: Path, excepted: Sequence[str], *, everything: bool) -> int:
    """0 if the two hold the same values, else 1 after a list of what differs."""
    made = [json.loads(path.read_text(encoding="utf-8")) for path in (a, b)]
    for path, each in zip((a, b), made, strict=True):
        about = each["about"]
        say(f"{path}: {about['made']}, {len(about['steps'])} steps, {about['rainkit']}")
    before, after = (each["results"] for each in made)
    ran = [set(each["about"]["steps"]) for each in made]
    keys = list(dict.fromkeys([*before, *after]))
    left_out = {key for key in keys if any(fnmatch.fnmatch(key, glob) for glob in excepted)}
    differing: dict[str, dict[str, list[str]]] = {}
    for key in keys:
        missing = (key not in before) or (key not in after)
        if key not in left_out and (missing or before[key] != after[key]):
            step, file, *_ = key.split(": ")
            differing.setdefault(step, {}).setdefault(file, []).append(key)
    for step, files in differing.items():
        if not step_told(step, files, ran, before, after):
            for file, names in files.items():
                tell_file(f"{step}: {file}", names, before, after, everything=everything)
    count = sum(len(names) for files in differing.values() for names in files.values())
    say(f"\n{len(keys)} values: {len(keys) - count - len(left_out)} the same, {count} differ, in "
        f"{len(differing)} steps, {len(left_out)} left out")  # fmt: skip
    return 1 if differing else 0


def step_told(
    step: str,
    files: Mapping[str, Sequence[str]],
    ran: Sequence[set[str]],
    before: Results,
    after: Results,
) -> bool:
    """Whether one line said all about a step: that one side did not run it, or it failed."""
    if not all(step in steps for steps in ran):
        say(f"\n{step}: only {'the first' if step in ran[0] else 'the second'} has run it")
        return True
    codes = [key for names in files.values() for key in names if key.endswith(": exit code")]
    for key in codes:
        told = f"{_told(before, key)} -> {_told(after, key)}"
        say(f"\n{step}: exit code {told}, {sum(map(len, files.values()))} differ")
    return bool(codes)


def tell_file(
    file: str, names: Sequence[str], before: Results, after: Results, *, everything: bool
) -> None:
    """Print what differs in one file."""
    say(f"\n{file}: {len(names)} differ")
    for key in names if everything else names[:5]:
        what = key.removeprefix(file).removeprefix(": ") or "content"
        texts = [results.get(key) for results in (before, after)]
        if all(isinstance(text, str) and "\n" in text for text in texts):
            was, now = (str(text).splitlines() for text in texts)
            lines = list(difflib.unified_diff(was, now, lineterm="", n=0))
            say("\n".join(f"    {line}" for line in lines[2 : None if everything else 12]))
        else:
            say(f"  {what}: {_told(before, key)} -> {_told(after, key)}")
    if len(names) > 5 and not everything:
        say(f"  and {len(names) - 5} more; --all lists them")


def _told(results: Results, key: str) -> str:
    if key not in results:
        return "nothing"
    text = repr(results[key])
    return text if len(text) <= 80 else f"{text[:60]}...{text[-10:]}"


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
