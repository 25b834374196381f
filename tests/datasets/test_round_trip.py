"""What synthesis writes in each layout is read back without its manifest, picture by picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage import data

from rainkit import images
from rainkit.datasets.manifest import MANIFEST, read
from rainkit.datasets.pairs import find_pairs
from rainkit.datasets.phash import pixel_hash
from rainkit.datasets.writers import LAYOUTS
from rainkit.rain import PRESETS
from rainkit.synthesis.request import SynthRequest
from rainkit.synthesis.run import synthesise


@pytest.mark.parametrize("test_scenes", [None, 1], ids=["whole", "split"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_round_trip(tmp_path: Path, layout: str, test_scenes: int | None) -> None:
    for name in ("astronaut", "coffee", "chelsea"):
        photo = np.ascontiguousarray(getattr(data, name)()[::8, ::8])
        images.write(tmp_path / f"photos/{name} 1.png", images.Picture(photo))
    out = tmp_path / "out"
    synthesise(
        SynthRequest(
            inputs=(str(tmp_path / "photos"),),
            out=out,
            settings=PRESETS["rain100l"],
            preset="rain100l",
            variants=2,
            test_scenes=test_scenes,
            layout=layout,
            workers=1,
        )
    )
    made = read(out / MANIFEST)
    expected = {split: set() for split in ("train", "test", None)}
    for record in made:
        expected[record.split].add((record.sha256.input, record.sha256.clean))
    (out / MANIFEST).unlink()
    for split, hashes in expected.items():
        if hashes:
            found = [(p.rainy.read(), p.clean.read()) for p in find_pairs(out, split=split)]
            assert len(found) == len([record for record in made if record.split == split])
            assert {(pixel_hash(rainy), pixel_hash(clean)) for rainy, clean in found} == hashes
