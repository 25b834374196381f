"""The card of a dataset: its front matter, its figures, and that its instructions work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rainkit.datasets import manifest
from rainkit.datasets.writers import CARD, LAYOUTS, Entry, write_card
from rainkit.errors import FileError

RECORD = manifest.Record(
    id="a_01",
    scene="a",
    variant=1,
    source="a.png",
    input="train/input/a_01.png",
    target="train/target/a_01.png",
    w=8,
    h=6,
    seed=(3, 2**64 - 1, 1),
    rng="PCG64",
    preset="rain100l",
    level=None,
    rate_mm_h=7.0,
    wind_m_s=-0.5,
    distance=None,
    frame_width=8.0,
    beta_per_m=0.001,
    airlight=(1.0, 2.0, 3.0),
    streak_rgb=(4.0, 5.0, 6.0),
    n_drops=3,
    n_kept=2,
    settings={},
    stats=manifest.Stats(y_psnr=30.5, mean_dy=0.0, coverage=0.0),
    sha256=manifest.Hashes(clean="aa", input="bb"),
    renderer="layered/2",
    lib={"rainkit": "0.2", "numpy": "2"},
    split="train",
)
RECORDS = (
    RECORD,
    replace(RECORD, variant=2, rate_mm_h=25.0, level="heavy"),
    replace(RECORD, scene="b", rate_mm_h=80.0, level="violent", w=10),
    replace(RECORD, scene="c", split="test", preset="default"),
)


def card(folder: Path, records: Any = RECORDS, layout: str = "restormer", **more: Any) -> str:
    write_card(folder, records, layout=LAYOUTS[layout], **more)
    return (folder / CARD).read_text(encoding="utf-8")


def front_matter(text: str) -> list[str]:
    start, matter, _ = text.split("---\n", 2)
    assert start == ""
    return matter.splitlines()


def test_figures(tmp_path: Path) -> None:
    text = card(tmp_path, command="rainkit synth photos/ -o pairs/ --variants 2")
    assert "# 4 rainy and clean pictures" in text
    assert "| train | 2 | 3 | 8 to 10 | 6 |\n| test | 1 | 1 | 8 | 6 |" in text
    assert "| rain rate, mm/h | 7 | 16 | 80 |" in text
    assert "| extinction by the veil, 1/km | 1 | 1 | 1 |" in text
    assert "| PSNR on Y against the clean picture, dB | 30.5 | 30.5 | 30.5 |" in text
    assert "- preset: rain100l (3), default (1)" in text
    assert "- level: heavy (1), violent (1)" in text
    assert "noise" not in text
    assert "```console\n$ rainkit synth photos/ -o pairs/ --variants 2\n```" in text
    assert "Seed 3; rainkit 0.2, numpy 2." in text
    assert "rainkit data verify manifest.jsonl" in text
    assert "layered/2" in text


def test_the_licence_is_left_to_whoever_owns_the_photographs(tmp_path: Path) -> None:
    text = card(tmp_path)
    assert front_matter(text)[0].startswith("license: unknown  #")
    assert "The licence of the photographs applies" in text


@pytest.mark.parametrize(
    ("count", "size"),
    [(999, "n<1K"), (1000, "1K<n<10K"), (9999, "1K<n<10K"), (10000, "10K<n<100K")],
)
def test_the_class_of_size(count: int, size: str, tmp_path: Path) -> None:
    assert f"- {size}" in front_matter(card(tmp_path, [RECORD] * count))


@pytest.mark.parametrize(
    ("layout", "paths"),
    [
        ("hf", ["train/**", "test/**"]),
        ("wds", ["train-*.tar", "test-*.tar"]),
        ("restormer", []),
    ],
)
def test_splits_that_hugging_face_can_find(layout: str, paths: list[str], tmp_path: Path) -> None:
    matter = front_matter(card(tmp_path, layout=layout))
    assert [line.partition(": ")[2].strip('"') for line in matter if "path:" in line] == paths
    assert ("configs:" in matter) == bool(paths)


@pytest.mark.parametrize(("layout", "path"), [("hf", "train/**"), ("wds", "pairs-*.tar")])
def test_without_a_split_all_is_for_training(layout: str, path: str, tmp_path: Path) -> None:
    text = card(tmp_path, [replace(RECORD, split=None)], layout)
    assert f'  - split: train\n    path: "{path}"' in text
    assert "| all | 1 | 1 | 8 | 6 |" in text
    assert "split=" not in text


def test_noise_is_not_called_rain(tmp_path: Path) -> None:
    noisy = replace(RECORD, degradation="noise", sigma=25.0, rate_mm_h=0.0)
    text = card(tmp_path, [noisy])
    assert "# 1 noisy and clean pictures" in text
    assert "| noise, standard deviation in levels | 25 | 25 | 25 |" in text
    assert "rain rate" not in text


def test_many_kinds_are_counted_not_listed(tmp_path: Path) -> None:
    records = [replace(RECORD, preset=f"preset{number:02d}") for number in range(20)]
    line = next(
        line for line in card(tmp_path, records).splitlines() if line.startswith("- preset")
    )
    assert line.startswith("- preset: preset00 (1), ")
    assert line.endswith("preset07 (1) and 12 more")


def test_the_order_of_the_records_does_not_matter(tmp_path: Path) -> None:
    assert card(tmp_path) == card(tmp_path, RECORDS[::-1], overwrite=True)


def test_a_card_is_not_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / CARD).write_text("mine")
    with pytest.raises(FileError, match="--overwrite"):
        card(tmp_path)
    assert (tmp_path / CARD).read_text() == "mine"


def test_names_in_no_known_encoding(tmp_path: Path) -> None:
    assert "photos/?.png" in card(tmp_path, command="rainkit synth photos/\udcff.png")


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("split", ["train", ""])
def test_what_the_card_says_on_reading_works(
    name: str, split: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = LAYOUTS[name]
    records = []
    cleans = [np.full((6, 8, 3), level, np.uint8) for level in (10, 20)]
    for number, clean in enumerate(cleans, start=1):
        entry = Entry(
            scene=f"scene {number}", variant=1, number=number, scene_number=number,
            count=2, split=split, suffix=".png",
        )  # fmt: skip
        layout.write(tmp_path, entry, clean + 100, clean, overwrite=False)
        place = layout.place(entry)
        told = {"scene": entry.scene, "id": entry.scene, "split": split or None}
        records.append(replace(RECORD, input=place.input, target=place.target, **told))
    layout.finish(tmp_path, records, overwrite=False)
    manifest.write(tmp_path / manifest.MANIFEST, records)
    code = card(tmp_path, records, name).split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    seen: dict[str, Any] = {}
    exec(code, seen)  # noqa: S102
    assert tuple(seen["rainy"].shape) == tuple(seen["clean"].shape) == (1, 3, 6, 8)
    np.testing.assert_allclose(255 * seen["clean"].numpy(), cleans[-1][None].transpose(0, 3, 1, 2))
    np.testing.assert_allclose(255 * (seen["rainy"] - seen["clean"]).numpy(), 100, atol=1e-4)
