"""Which pictures a downstream run looks at, what it leaves out, and what it writes."""

import json
import math
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from rainkit.errors import MethodError, PairingError, UsageError
from rainkit.evaluation import PROTOCOLS, Comparison, FoldersRequest, evaluate_folders
from rainkit.evaluation import downstream as d
from rainkit.evaluation.downstream import DownstreamRequest
from rainkit.evaluation.downstream.labels import read_maps

SIDE = 24


class Bright(nn.Module):
    """Class 1 where a picture is bright, else 0."""

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return (picture.mean(1) > 0.5).long()


class Counter(nn.Module):
    """Gives every pixel the number of the call as its class."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: int = 0

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return torch.full_like(picture[:, 0], self.calls, dtype=torch.long)


class Fussy(Bright):
    """Fails on pictures with a white corner."""

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        if bool(picture[0, 0, 0, 0] == 1):
            raise ValueError("a white corner")
        return (picture.mean(1) > 0.5).long()


def write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


def bright(rows: int) -> np.ndarray:
    """A noisy dark picture whose first rows are bright."""
    picture = np.random.default_rng(rows).integers(0, 50, (SIDE, SIDE, 3), np.uint8)
    picture[:rows] += 200
    return picture


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Of the 24 rows 12 are bright; rain makes it 20, the results leave 14 or 16 of these."""
    for i in (1, 2, 3):
        for name, rows in (("clean", 12), ("rainy", 20), ("a", 14), ("b", 16)):
            write(tmp_path / f"pairs/{name}/{i}.png", bright(rows))
        truth = np.zeros((SIDE, SIDE), np.uint8)
        truth[:12] = 1
        write(tmp_path / f"maps/{i}.png", truth)
    return tmp_path


@pytest.fixture
def request_(script, root: Path) -> DownstreamRequest:
    model = script(Bright(), root / "bright.pt")
    return DownstreamRequest(task="segmentation", model=model, labels=root / "maps", device="cpu")


def compared(root: Path, restored: str, rainy: str | None = "rainy") -> Comparison:
    return evaluate_folders(
        FoldersRequest(
            restored=root / f"pairs/{restored}",
            target=root / "pairs/clean",
            rainy=root / f"pairs/{rainy}" if rainy else None,
            protocols=(PROTOCOLS["rgb"],),
        )
    )


def test_figures_and_what_is_recovered_are_those_derived_by_hand(root, request_):
    found = d.measure([compared(root, "a"), compared(root, "b")], request_)
    assert [row.result for row in found.rows] == ["input", "a", "b", "clean"]
    accuracy = [row.figures["accuracy"] for row in found.rows]
    assert accuracy == pytest.approx([16 / 24, 22 / 24, 20 / 24, 1])
    ious = [(12 / rows + (24 - rows) / 12) / 2 for rows in (20, 14, 16, 12)]
    assert [row.figures["mIoU"] for row in found.rows] == pytest.approx(ious)
    assert found.rows[1].recovered["accuracy"] == pytest.approx(6 / 8)
    assert found.rows[2].recovered["accuracy"] == pytest.approx(4 / 8)
    assert found.cells[2] == ("", "b", "", "70.8", "45.3", "83.3", "50.0")


def test_every_file_is_looked_at_once_whatever_shares_it(script, root):
    model = script(Counter(), root / "counter.pt")
    comparisons = [compared(root, name) for name in "ab"]
    ticks = []
    for call, hit in ((12, 1), (13, 0)):
        for i in (1, 2, 3):
            write(root / f"maps/{i}.png", np.full((SIDE, SIDE), call, np.uint8))
        request = DownstreamRequest(
            task="segmentation", model=model, labels=root / "maps", device="cpu"
        )
        found = d.measure(comparisons, request, lambda *tick: ticks.append(tick))
        right = sum(row.figures["accuracy"] for row in found.rows)
        assert right == pytest.approx(hit / 3), "3 pictures of 4 rows: 12 calls, no 13th"
    assert ticks == [(1, 3), (2, 3), (3, 3)] * 2


def test_an_unreadable_picture_is_left_out_of_all_rows(root, request_):
    path = root / "pairs/a/2.png"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = d.measure([compared(root, "a"), compared(root, "b")], request_)
    ((dataset, failure),) = found.failures
    assert (dataset, failure.name) == ("pairs", "2")
    assert "2.png" in failure.reason
    assert {row.images for row in found.rows} == {2}
    assert "Left out: pairs/2: " in d.markdown(found)
    assert found.to_data()["failed"][0]["name"] == "2"
    assert found.rows[1].figures["accuracy"] == pytest.approx(22 / 24)


def test_a_picture_on_which_the_model_fails_or_without_a_whole_label_is_left_out(
    script, root, request_
):
    picture = bright(14)
    picture[0, 0] = 255
    write(root / "pairs/a/2.png", picture)
    path = root / "maps/3.png"
    path.write_bytes(path.read_bytes()[:60])
    request = replace(request_, model=script(Fussy(), root / "fussy.pt"))
    found = d.measure([compared(root, "a")], request)
    assert [failure.name for _, failure in found.failures] == ["2", "3"]
    assert "fussy.pt" in found.failures[0][1].reason
    assert "3.png: cannot be read as PNG" in found.failures[1][1].reason
    assert {row.images for row in found.rows} == {1}
    for i in (1, 3):
        write(root / f"pairs/a/{i}.png", picture)
    with pytest.raises(MethodError, match=r"fussy\.pt"):
        d.measure([compared(root, "a")], request)


def test_a_picture_that_one_result_lacks_is_left_out_of_all_rows(root, request_):
    whole, other = compared(root, "a"), compared(root, "b")
    files = tuple(f for f in other.files if (f.role, f.picture) != ("restored", "3"))
    fewer = Comparison(restored="b", scores=other.scores, files=files)
    found = d.measure([whole, fewer], request_)
    assert [(name, f.name, f.reason) for name, f in found.failures] == [
        ("pairs", "3", "is not among b")
    ]
    assert {row.images for row in found.rows} == {2}


def test_where_no_picture_is_in_all_results_there_are_no_rows(root, request_):
    whole, other = compared(root, "a"), compared(root, "b")
    halves = [
        Comparison(
            restored=each.restored,
            scores=each.scores,
            files=tuple(f for f in each.files if (f.picture in "12") == (each is whole)),
        )
        for each in (whole, other)
    ]
    found = d.measure(halves, request_)
    assert (found.rows, len(found.failures)) == ((), 3)
    assert "Left out: pairs/3: is not among a" in d.markdown(found)


def test_without_rainy_pictures_nothing_is_said_of_recovery(root, request_):
    found = d.measure([compared(root, "a", rainy=None)], request_)
    assert [row.result for row in found.rows] == ["a", "clean"]
    assert not any(row.recovered for row in found.rows)


def test_where_rain_costs_nothing_no_share_of_it_is_told(root, request_):
    found = d.measure([compared(root, "a", rainy="clean")], request_)
    assert math.isnan(found.rows[1].recovered["mIoU"])
    assert found.cells[1][4] == "n/a"
    assert "costs this model less than 1%" in found.notices[0]
    assert found.to_data()["rows"][1]["recovered"] == {"mIoU": None, "accuracy": None}


def test_a_result_called_as_a_row_is_has_its_own_row(root, request_):
    found = d.measure([compared(root, "clean")], request_)
    assert [row.result for row in found.rows] == ["input", "pairs/clean", "clean"]
    assert found.rows[1].recovered["mIoU"] == 1


def test_ignored_classes_are_not_counted(root, request_):
    comparisons = [compared(root, "a")]
    request = DownstreamRequest(task="segmentation", model=request_.model, labels=root / "maps")
    for i in (1, 2, 3):
        truth = np.full((SIDE, SIDE), 255, np.uint8)
        truth[:12], truth[18:] = 1, 0
        write(root / f"maps/{i}.png", truth)
    figures = [row.figures for row in d.measure(comparisons, request).rows]
    assert figures[1:] == [{"mIoU": 1, "accuracy": 1}] * 2, "rows 12 to 17 are not counted"
    assert figures[0]["accuracy"] == pytest.approx(16 / 18)
    nothing = DownstreamRequest(
        task="segmentation", model=request_.model, labels=root / "maps", ignore=(0, 1, 255)
    )
    found = d.measure(comparisons, nothing)
    assert all(math.isnan(value) for row in found.rows for value in row.figures.values())
    assert json.dumps(found.to_data(), allow_nan=False)


def test_table_markdown_latex_and_json_tell_the_same(root, request_):
    found = d.measure([compared(root, "a"), compared(root, "b")], request_)
    folder = root / "new" / "scores"
    assert [path.name for path in d.write(found, folder)] == [*d.FILES]
    text, data, tex = ((folder / name).read_text() for name in d.FILES)
    assert data == json.dumps(found.to_data(), indent=1, ensure_ascii=False) + "\n"
    assert len(found.columns) == len(found.cells[0]) == len(d.COLUMNS["segmentation"])
    assert [cells[0] for cells in found.cells] == ["pairs", "", "", ""]
    for cells in found.cells:
        assert "| " + " | ".join(cells) + " |" in text
        assert " & ".join(cells) in tex
    assert found.model["sha256"] in text
    assert json.loads(data)["model"] == found.model
    (folder / "downstream.md").unlink()
    with pytest.raises(UsageError, match=r"downstream\.json exists; pass --overwrite"):
        d.write(found, folder)
    assert not (folder / "downstream.md").exists(), "nothing is half written"
    d.write(found, folder, overwrite=True)
    assert (folder / "downstream.md").read_text() == text


def test_two_datasets_have_their_own_rows_and_a_line_between(root, request_):
    first = compared(root, "a")
    (root / "pairs").rename(root / "more")
    files = (
        first.files
        + evaluate_folders(
            FoldersRequest(
                restored=root / "more/a",
                target=root / "more/clean",
                rainy=root / "more/rainy",
                protocols=(PROTOCOLS["rgb"],),
            )
        ).files
    )
    (root / "pairs").symlink_to(root / "more")
    both = Comparison(restored="a", scores=first.scores, files=files)
    found = d.measure([both], request_)
    assert [row.dataset for row in found.rows] == ["pairs"] * 3 + ["more"] * 3
    assert [row.figures for row in found.rows[:3]] == [row.figures for row in found.rows[3:]]
    assert d.latex(found).count(r"\midrule") == 2


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ("restored", "method: the restored pictures were not kept; pass --output"),
        ("target", "clean pictures"),
    ],
)
def test_pictures_that_were_not_kept_are_asked_for(root, request_, role, words):
    whole = compared(root, "a")
    files = tuple(each for each in whole.files if each.role != role)
    lost = Comparison(restored="method", scores=whole.scores, files=files)
    with pytest.raises(UsageError, match=words):
        d.measure([lost], request_)


def test_results_of_one_name_are_refused(root, request_):
    with pytest.raises(UsageError, match="cannot be told apart"):
        d.measure([compared(root, "a")] * 2, request_)


def test_label_maps_of_another_size_are_refused(root, request_):
    write(root / "maps/2.png", np.zeros((SIDE, SIDE + 1), np.uint8))
    with pytest.raises(PairingError, match=r"2\.png is for 25x24 px, but pairs/2 has 24x24"):
        d.measure([compared(root, "a")], request_)


def test_pictures_without_labels_are_named(root, request_):
    for i in (1, 3):
        (root / f"maps/{i}.png").unlink()
    with pytest.raises(PairingError, match="no labels for pairs/1, pairs/3; labels go by"):
        d.measure([compared(root, "a")], request_)


def test_labels_that_may_be_any_of_several_are_refused(root, request_):
    for name in ("x", "y"):
        write(root / f"maps/{name}/1.png", np.zeros((SIDE, SIDE), np.uint8))
    d.measure([compared(root, "a")], request_)  # 1.png is nearer
    (root / "maps/1.png").unlink()
    with pytest.raises(PairingError, match=r"pairs/1 may be any of x/1\.png, y/1\.png"):
        d.measure([compared(root, "a")], request_)
    (root / "maps/x").rename(root / "maps/pairs")
    d.measure([compared(root, "a")], request_)


def test_labels_go_by_the_name_of_the_clean_picture_too(root, request_):
    for folder in ("rainy", "a"):
        for i in (1, 2, 3):
            path = root / f"pairs/{folder}/{i}.png"
            path.rename(path.with_name(f"rain-{i}.png"))
    for i in (1, 2, 3):
        path = root / f"pairs/clean/{i}.png"
        path.rename(path.with_name(f"norain-{i}.png"))
        path = root / f"maps/{i}.png"
        path.rename(path.with_name(f"norain-{i}.png"))
    found = d.measure([compared(root, "a")], request_)
    assert found.rows[-1].figures["accuracy"] == 1


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_class_maps_of_few_bits_are_read_as_stored(tmp_path: Path, bits: int):
    ids = np.arange(8 * 16).reshape(8, 16) % 2**bits
    packed = np.packbits((ids[..., None] >> np.arange(bits)[::-1] & 1).reshape(8, -1), axis=1)
    rows = np.hstack([np.zeros((8, 1), packed.dtype), packed]).tobytes()

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)

    head = (16).to_bytes(4) + (8).to_bytes(4) + bytes((bits, 0, 0, 0, 0))
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    data = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)
    (tmp_path / "a.png").write_bytes(data)
    np.testing.assert_array_equal(read_maps(tmp_path).read(0), ids)
