"""Rain on four public-domain photographs, then off again; what ``make demo`` runs.

python examples/demo/demo.py [FOLDER]

Makes FOLDER/photographs (clean), FOLDER/pairs (rainy and clean, by ``rainkit synth``) and
FOLDER/derained (by ``rainkit infer``), with a before/after page. What is there is made anew.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

import skimage.data

from rainkit import images
from rainkit.errors import exiting

PHOTOGRAPHS = {
    "astronaut": "Eileen Collins, NASA, public domain",
    "chelsea": "Chelsea the cat, Stefan van der Walt, CC0",
    "coffee": "Coffee cup, Rachel Michetti, CC0",
    "rocket": "Falcon 9 with DSCOVR, SpaceX, public domain",
}
"""Inside scikit-image's wheel: nothing is fetched."""


def main() -> int:
    """Run the demo; returns the exit code of the command that failed, else 0."""
    parser = argparse.ArgumentParser(description="Rain on four photographs, then off again.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("demo"))
    parser.add_argument("--method", default="graspp-gan")
    parser.add_argument("--weights", help="a tag or a file (default: what the method ships)")
    given = parser.parse_args()
    photographs, pairs = given.folder / "photographs", given.folder / "pairs"
    derained = given.folder / "derained"
    started = time.monotonic()
    for name, credit in PHOTOGRAPHS.items():
        path = photographs / f"{name}.png"
        images.write(path, images.Picture(getattr(skimage.data, name)()), overwrite=True)
        print(f"  {path}: {credit}")
    synth = ["synth", str(photographs), "-o", str(pairs), "--preset", "rain100l", "--overwrite"]
    infer = ["infer", str(pairs / "input"), "--method", given.method, "-o", str(derained)]
    infer += ["--report", "--overwrite"]
    if given.weights:
        infer += ["--weights", given.weights]
    for command in (synth, infer):
        print(f"\n$ rainkit {shlex.join(command)}", flush=True)
        code = subprocess.run([sys.executable, "-m", "rainkit", *command], check=False).returncode
        if code:
            return code
    print(f"\nDone in {time.monotonic() - started:.0f} s.")
    print(f"Rainy photographs:     {(pairs / 'input').resolve()}")
    print(f"Derained photographs:  {derained.resolve()}")
    print(f"Before and after:      {(derained / 'report.html').resolve()}  (open it in a browser)")
    return 0


if __name__ == "__main__":
    with exiting():
        sys.exit(main())
