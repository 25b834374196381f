"""Datasets are drawn again: from themselves, elsewhere, and what was changed is found."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from rainkit import images
from rainkit.datasets import manifest
from rainkit.errors import DatasetError, UsageError
from rainkit.synthesis.rebuild import RebuildRequest, rebuild
from rainkit.synthesis.request import DepthChoice, SynthRequest
from rainkit.synthesis.run import synthesise
from rainkit.synthesis.verify import verify


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photographs with maps of their depth."""
    folder = tmp_path_factory.mktemp("photos")
    for index, size in enumerate(((60, 40), (48, 48), (33, 50))):
        rng = np.random.default_rng(index)
        rgb = cv2.resize(rng.integers(20, 200, (5, 4, 3), dtype=np.uint8), size)
        images.write(folder / f"{index}.png", images.Picture(rgb))
        z = np.full((*rgb.shape[:2], 3), 256 * (10 + 40 * index), np.uint16)
        images.write(folder / f"{index}_depth.png", images.Picture(z, grey=True))
    return folder


@pytest.fixture(scope="module")
def made(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "dataset"
    depth = DepthChoice(name="auto", form="kitti")
    synthesise(SynthRequest(inputs=(str(photos),), out=out, depth=depth, variants=2, test_scenes=1))
    return out


@pytest.fixture
def dataset(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "dataset")


def change(dataset: Path, number: int, **values: object) -> None:
    """Edit one line of a manifest, as a user would."""
    path = dataset / manifest.MANIFEST
    lines = path.read_text().splitlines()
    lines[number] = json.dumps(json.loads(lines[number]) | values)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_dataset_that_is_as_it_was_made(dataset: Path, workers: int) -> None:
    steps: list[tuple[int, int]] = []
    result = verify(dataset, workers=workers, on_progress=lambda *step: steps.append(step))
    assert (result.pairs, result.rendered, result.findings, result.notes) == (6, 6, (), ())
    assert steps == [(2, 6), (4, 6), (6, 6)]
    assert result.to_data()["verified"] is True


def test_a_manifest_may_lie_elsewhere(dataset: Path, tmp_path: Path) -> None:
    away = tmp_path / "away.jsonl"
    (dataset / manifest.MANIFEST).rename(away)
    assert verify(away, dataset).findings == ()
    assert {finding.kind for finding in verify(away).findings} == {"missing"}
    with pytest.raises(UsageError, match="is not a folder"):
        verify(away, tmp_path / "nowhere")


def test_files_that_are_gone_or_changed_are_named(dataset: Path) -> None:
    first, second, third, *_ = manifest.read(dataset)
    (dataset / first.input).unlink()
    rgb = images.read(dataset / second.input).rgb.copy()
    rgb[0, 0, 0] ^= 1
    images.write(dataset / second.input, images.Picture(rgb), overwrite=True)
    assert third.depth is not None
    (dataset / third.depth.path).unlink()
    found = {(f.id, f.kind, f.what) for f in verify(dataset).findings}
    assert (first.id, "missing", first.input) in found
    assert (second.id, "changed", f"{second.input}: other pixels") in found
    unrenderable = {i for i, kind, _ in found if kind == "unrenderable"}
    assert unrenderable == {third.id, third.id.replace("_01", "_02")}
    assert len(found) == 4


def test_a_changed_target_is_named_for_its_pictures(dataset: Path) -> None:
    record = manifest.read(dataset)[0]
    rgb = images.read(dataset / record.target).rgb[::-1].copy()
    images.write(dataset / record.target, images.Picture(rgb), overwrite=True)
    (finding,) = verify(dataset).findings
    assert (finding.id, finding.kind) == (record.id, "changed")
    assert record.target in finding.what


@pytest.mark.parametrize(
    ("values", "kind", "said"),
    [
        ({"rate_mm_h": 6.5}, "changed", "rate_mm_h is 7.0, not 6.5"),
        ({"airlight": [1, 2, 3]}, "changed", "airlight"),
        ({"stats": {"y_psnr": 50.0, "mean_dy": 0.0, "coverage": 0.0}}, "changed", "y_psnr"),
        ({"w": 1}, "changed", "size"),
        ({"seed": [0, 1, 1]}, "unrenderable", "comes out differently"),
        ({"settings": {"fog_gain": "much"}}, "unrenderable", "settings: fog_gain"),
        ({"settings": {"fog_gain": -1}}, "unrenderable", "fog_gain must be"),
        ({"settings": {"colour": 1}}, "unrenderable", "colour: unknown"),
        ({"sha256": {"clean": "00", "input": "00"}}, "changed", "other pixels"),
    ],
)
def test_what_was_edited_by_hand_comes_out(
    dataset: Path, values: dict[str, object], kind: str, said: str
) -> None:
    change(dataset, 0, **values)
    findings = verify(dataset).findings
    assert {finding.id for finding in findings} == {"0_01"}
    assert any(f.kind == kind and said in f.what for f in findings), findings


def test_other_versions_are_a_note(dataset: Path) -> None:
    change(dataset, 0, renderer="layered/0", lib={"rainkit": "0.0.1"})
    result = verify(dataset)
    assert result.findings == ()
    assert any("layered/0" in note for note in result.notes)
    assert any("rainkit 0.0.1" in note for note in result.notes)


def test_jpeg_datasets_are_drawn_again_from_themselves(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "jpeg"
    synthesise(SynthRequest(inputs=(str(photos / "0.png"),), out=out, format="jpg", variants=2))
    result = verify(out)
    assert (result.rendered, result.findings) == (2, ())
    assert any("2 rainy pictures are JPEG" in note for note in result.notes)
    (out / "input" / "0_01.jpg").write_bytes(b"not a picture")
    assert [finding.kind for finding in verify(out).findings] == ["changed"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_dataset_is_made_again_elsewhere(dataset: Path, tmp_path: Path, workers: int) -> None:
    again = tmp_path / "again"
    result = rebuild(RebuildRequest(manifest=dataset, out=again, workers=workers))
    assert (result.scenes, result.pairs, result.failures) == (3, 6, ())
    assert files(again) == files(dataset)
    with pytest.raises(UsageError, match="not an empty folder"):
        rebuild(RebuildRequest(manifest=dataset, out=again))


def test_from_the_manifest_and_the_photographs_alone(
    dataset: Path, photos: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone" / "manifest.jsonl"
    alone.parent.mkdir()
    shutil.copy(dataset / manifest.MANIFEST, alone)
    request = RebuildRequest(
        manifest=alone,
        out=tmp_path / "again",
        photos=(str(photos),),
        depth=DepthChoice(name="auto", form="kitti"),
    )
    assert rebuild(request).failures == ()
    made = files(request.out)
    assert made == {name: made[name] for name in files(dataset) if name in made}
    assert manifest.read(request.out) == manifest.read(dataset)


def test_in_another_layout(dataset: Path, tmp_path: Path) -> None:
    request = RebuildRequest(manifest=dataset, out=tmp_path / "again", layout="wds")
    assert rebuild(request).pairs == 6
    assert sorted(path.name for path in request.out.glob("*.tar")) == [
        "test-000000.tar",
        "train-000000.tar",
    ]
    assert verify(request.out).findings == ()


def test_scenes_that_come_out_otherwise_are_left_out(
    dataset: Path, photos: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(photos, other)
    images.write(other / "1.png", images.read(photos / "0.png"), overwrite=True)
    (other / "2.png").unlink()
    change(dataset, 0, seed=[9, 9, 9])
    request = RebuildRequest(manifest=dataset, out=tmp_path / "again", photos=(str(other),))
    result = rebuild(request)
    reasons = " ".join(reason for _, reason in result.failures)
    # Of the first scene the other variant is as it was.
    assert (result.pairs, len(result.failures)) == (1, 3)
    assert verify(request.out).findings == ()
    for said in ("comes out differently", "other pixels", "not among the photographs"):
        assert said in reasons


def test_jpeg_datasets_need_their_photographs(photos: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    request = SynthRequest(inputs=(str(photos),), out=first, format="jpg")
    synthesise(request)
    with pytest.raises(UsageError, match="name the photographs"):
        rebuild(RebuildRequest(manifest=first, out=second))
    rebuild(RebuildRequest(manifest=first, out=second, photos=(str(photos),)))
    assert files(second) == files(first)
    for values, said in (
        ({"manifest": first, "layout": "did", "photos": (str(photos),)}, "--layout did"),
        ({"manifest": first, "layout": "imagenet", "format": "png"}, "--layout imagenet: unknown"),
    ):
        with pytest.raises(UsageError, match=said):
            rebuild(RebuildRequest(out=tmp_path / "third", **values))
    lossless = RebuildRequest(manifest=first, out=tmp_path / "third", format="png")
    rebuild(lossless)
    assert verify(lossless.out).findings == ()


def test_png_datasets_do_not_become_jpeg(dataset: Path, photos: Path, tmp_path: Path) -> None:
    request = RebuildRequest(
        manifest=dataset, out=tmp_path / "out", photos=(str(photos),), format="jpg"
    )
    with pytest.raises(UsageError, match="PNG files hold"):
        rebuild(request)
    assert not request.out.exists()


def test_a_manifest_that_leads_out_of_its_folder_is_refused(dataset: Path) -> None:
    change(dataset, 2, target="../../etc/hostname.png")
    with pytest.raises(DatasetError, match="line 3: target"):
        verify(dataset)


def test_records_say_what_they_were_made_with(dataset: Path) -> None:
    for record in manifest.read(dataset):
        assert record.depth is not None
        assert (record.depth.metric, record.depth.coverage) == (True, 1.0)


def test_side_outputs_are_made_again(files, request_: SynthRequest, tmp_path: Path) -> None:
    sides = dataclasses.replace(request_, save=("mask", "trans"))
    synthesise(sides)
    again = tmp_path / "again"
    rebuild(RebuildRequest(manifest=sides.out, out=again))
    made = {name: found for name, found in files(again).items() if "/" in name}
    assert made == {name: found for name, found in files(sides.out).items() if "/" in name}
    assert {"mask", "trans"} <= {name.partition("/")[0] for name in made}
