"""Stored results held against each other: what is compared, what is not, and what is said of it."""

import csv
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from rainkit import evaluation
from rainkit.errors import DatasetError, UsageError
from rainkit.evaluation import PROTOCOLS, EvalRequest, FoldersRequest
from rainkit.evaluation.compare import Compared, CompareRequest, compare, tables

PRENET, RGB = PROTOCOLS["prenet"], PROTOCOLS["rgb"]
NAMES = ("p1", "p2", "p3", "p4", "p5")


def write(path: Path, rgb: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), rgb[..., ::-1])


def scene(name: str, side: int = 24) -> np.ndarray:
    seed = sum(name.encode())
    coarse = np.random.default_rng(seed).integers(40, 180, (4, 4, 3), np.uint8)
    return cv2.resize(coarse, (side, side))


def scored(
    folder: Path,
    restored: str,
    off: Mapping[str, int],
    *,
    into: str | None = None,
    dataset: str = "rain",
    protocols: tuple[evaluation.Protocol, ...] = (PRENET,),
    metrics: tuple[str, ...] = (),
    more: tuple[FoldersRequest, ...] = (),
) -> Path:
    """Score pictures that are off by so many levels: PSNR is 20 log10(255 / levels) + 1.32 dB."""
    shutil.rmtree(folder / dataset / "clean", ignore_errors=True)
    for name, levels in off.items():
        write(folder / dataset / "clean" / f"{name}.png", scene(name))
        write(folder / dataset / restored / f"{name}.png", scene(name) + np.uint8(levels))
    source = FoldersRequest(
        restored=folder / dataset / restored,
        target=folder / dataset / "clean",
        protocols=protocols,
        metrics=evaluation.load_metrics(metrics).metrics,
    )
    output = folder / "scores" / (into or restored)
    evaluation.run(EvalRequest(sources=(source, *more), output=output, overwrite=True))
    return output / "metrics.json"


def decibels(*off: tuple[int, int]) -> list[float]:
    return [20 * math.log10(before / after) for before, after in off]


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """All five pictures of the second result are better, each by another difference."""
    a = scored(tmp_path, "a", dict.fromkeys(NAMES, 8))
    b = scored(tmp_path, "b", dict(zip(NAMES, (7, 6, 5, 4, 3), strict=True)))
    return a, b


def run(*files: Path, **options: object) -> Compared:
    return compare(CompareRequest(files=files, **options))


def test_two_files_picture_by_picture(two):
    compared = run(*two)
    assert (compared.reference, compared.files) == ("a", {"a": two[0], "b": two[1]})
    psnr, ssim = compared.differences
    gained = decibels(*((8, after) for after in (7, 6, 5, 4, 3)))
    assert [after - before for _, before, after in psnr.pictures] == pytest.approx(gained, abs=1e-3)
    assert psnr.found.mean == pytest.approx(np.mean(gained), abs=1e-3)
    assert (psnr.found.higher, psnr.found.ties, psnr.found.lower) == (5, 0, 0)
    assert psnr.found.p == psnr.p_holm == pytest.approx(2 / 32)
    assert 0 < psnr.found.low < psnr.found.mean < psnr.found.high
    assert (ssim.quantity, ssim.label, ssim.found.count) == ("ssim", "prenet/1", 5)
    assert compared.notices == ()


def test_a_file_against_itself_is_all_ties(two):
    compared = run(two[0], two[0])
    assert list(compared.files) == ["a #1", "a #2"]
    for each in compared.differences:
        assert (each.found.ties, each.found.mean, each.found.p) == (5, 0, 1)
    (row,) = tables(compared)[0].rows
    assert row == ("rain", "a #2", "5", "0.000", "0.000 to 0.000", "0 / 5 / 0", "1.0000")


def test_the_reference_is_chosen_by_name(two):
    there, back = run(*two), run(*two, reference="b")
    assert back.reference == "b"
    assert back.differences[0].restored == "a"
    assert back.differences[0].found.mean == -there.differences[0].found.mean
    assert tables(back)[0].rows[0][5] == "0 / 0 / 5"
    with pytest.raises(UsageError, match="--reference c: no such result; choose from a, b"):
        run(*two, reference="c")


def test_results_of_one_name_are_called_by_their_folder_or_file(tmp_path, two):
    twin = tmp_path / "elsewhere/metrics.json"
    twin.parent.mkdir()
    twin.write_bytes(two[0].read_bytes())
    assert list(run(two[0], twin, two[1]).files) == ["a [a]", "a [elsewhere]", "b"]
    beside = twin.with_name("monday.json")
    beside.write_bytes(two[0].read_bytes())
    assert list(run(twin, beside).files) == ["a [metrics]", "a [monday]"]


def test_p_is_adjusted_over_the_rows_of_a_table(tmp_path, two):
    c = scored(tmp_path, "c", dict(zip(NAMES, (9, 6, 5, 4, 3), strict=True)))
    psnrs = [each for each in run(*two, c).differences if each.quantity == "psnr"]
    # The one that is worse is so by the least difference: 2 of 32 signs at either end.
    assert [each.found.p for each in psnrs] == pytest.approx([2 / 32, 4 / 32])
    assert [each.p_holm for each in psnrs] == pytest.approx([4 / 32, 4 / 32])


def test_another_protocol_is_no_other_question(tmp_path):
    off = {"a": (8, 8, 8, 8, 8), "b": (7, 6, 5, 4, 3)}
    files = [
        scored(tmp_path, name, dict(zip(NAMES, levels, strict=True)), protocols=(PRENET, RGB))
        for name, levels in off.items()
    ]
    psnrs = [each for each in run(*files).differences if each.quantity == "psnr"]
    assert [each.label for each in psnrs] == ["prenet/1", "rgb/1"]
    assert [each.p_holm for each in psnrs] == pytest.approx([2 / 32, 2 / 32])


def test_several_results_in_one_file_are_enough(tmp_path):
    scored(tmp_path, "b", dict.fromkeys(NAMES, 4))
    more = FoldersRequest(
        restored=tmp_path / "rain/b", target=tmp_path / "rain/clean", protocols=(PRENET,)
    )
    both = scored(tmp_path, "a", dict.fromkeys(NAMES, 8), into="both", more=(more,))
    compared = run(both.parent)
    assert list(compared.files) == ["a", "b"]
    assert compared.differences[0].found.mean == pytest.approx(decibels((8, 4))[0], abs=1e-3)


def test_one_result_alone_is_refused(two):
    with pytest.raises(UsageError, match="less than two results"):
        run(two[0])


def test_other_protocols_are_said_and_not_compared(tmp_path, two):
    both = scored(tmp_path, "c", dict.fromkeys(NAMES, 4), protocols=(RGB, PRENET))
    compared = run(two[0], both)
    assert {each.label for each in compared.differences} == {"prenet/1"}
    assert compared.notices == ("rain: c is scored under rgb/1, a under prenet/1; not compared",)
    rgb = scored(tmp_path, "d", dict.fromkeys(NAMES, 4), protocols=(RGB,))
    with pytest.raises(UsageError, match=r"^nothing to compare: .*") as raised:
        run(two[0], rgb)
    assert f"a has rain under prenet/1 ({two[0]}); d has rain under rgb/1 ({rgb})" in str(
        raised.value
    )


def test_protocols_that_each_side_lacks_are_one_note(tmp_path):
    a, b = (
        scored(tmp_path, name, dict.fromkeys(NAMES, 4), protocols=(PRENET, other))
        for name, other in (("a", RGB), ("b", PROTOCOLS["spanet"]))
    )
    assert run(a, b).notices == (
        "rain: b is scored under spanet/1, a under prenet/1, rgb/1; not compared",
    )


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_one_name_for_other_parameters_is_noticed(two):
    rewrite(two[1], '"ssim_sigma": 1.5', '"ssim_sigma": 2.5')
    with pytest.raises(UsageError, match="prenet/1, a with other parameters of it; not compared"):
        run(*two)


@pytest.mark.parametrize(
    ("old", "new"), [('"source": "', '"source": "and '), ('"crop_border": 0,', "")]
)
def test_prose_and_what_older_files_lack_are_no_other_parameters(two, old, new):
    rewrite(two[1], old, new)
    assert len(run(*two).differences) == 2


def test_datasets_that_one_lacks_are_said(tmp_path, two):
    scored(tmp_path, "b", {"q": 4}, dataset="snow")
    more = FoldersRequest(
        restored=tmp_path / "snow/b", target=tmp_path / "snow/clean", protocols=(PRENET,)
    )
    # A folder is one source, so that its datasets become two results of one name.
    both = scored(tmp_path, "b", dict.fromkeys(NAMES, 4), into="both", more=(more,))
    data = json.loads(both.read_text())
    first, second = data["comparisons"]
    first["results"] += second["results"]
    both.write_text(json.dumps(first))
    compared = run(two[0], both)
    assert {each.dataset for each in compared.differences} == {"rain"}
    assert compared.notices == ("snow: a is not scored on it, b is; not compared",)


def test_pictures_that_one_lacks_are_left_out_and_said(tmp_path, two):
    many = dict.fromkeys((*NAMES, *(f"x{i}" for i in range(1, 8))), 4)
    del many["p1"]
    compared = run(two[0], scored(tmp_path, "c", many))
    assert compared.differences[0].found.count == 4
    assert compared.notices == (
        "rain: only a has 1 of the pictures: p1",
        "rain: only c has 7 of the pictures: x1, x2, x3, x4, x5 and 2 more",
    )


def test_no_picture_in_common_is_nothing_to_compare(tmp_path, two):
    other = scored(tmp_path, "c", {"x": 4})
    with pytest.raises(UsageError, match=r"nothing to compare: rain: .* no picture in common"):
        run(two[0], other)


def test_infinite_pictures_are_left_out_and_counted(tmp_path, two):
    perfect = scored(tmp_path, "c", dict(zip(NAMES, (0, 0, 4, 4, 4), strict=True)))
    compared = run(two[0], perfect)
    psnr, ssim = compared.differences
    assert (psnr.found.count, psnr.found.excluded) == (3, 2)
    assert (ssim.found.count, ssim.found.excluded) == (5, 0)
    assert compared.notices == (
        "rain (prenet/1): psnr is infinite or undefined in a or c for 2 of the pictures; left out",
    )


def test_targets_that_changed_are_noticed(tmp_path, two):
    write(tmp_path / "rain/clean/p2.png", scene("another"))
    write(tmp_path / "rain/b/p2.png", scene("another") + np.uint8(4))
    source = FoldersRequest(
        restored=tmp_path / "rain/b", target=tmp_path / "rain/clean", protocols=(PRENET,)
    )
    evaluation.run(EvalRequest(sources=(source,), output=two[1].parent, overwrite=True))
    assert run(*two).notices == (
        "rain: targets differ in 1 of the pictures (p2): the figures of a and b are not of the"
        " same pictures",
    )


def test_of_a_metric_that_is_better_when_lower_reductions_are_better(tmp_path):
    off = dict.fromkeys(NAMES, 8)
    a = scored(tmp_path, "a", off, metrics=("mae",), protocols=(PRENET, RGB))
    off = dict(zip(NAMES, (9, 8, 5, 4, 3), strict=True))
    b = scored(tmp_path, "b", off, metrics=("mae", "tv"), protocols=(PRENET, RGB))
    compared = run(a, b)
    assert [each.quantity for each in compared.differences] == [
        "psnr", "ssim", "mae", "psnr", "ssim",
    ]  # fmt: skip
    mae = compared.differences[2]
    assert mae.found.mean == pytest.approx((1 + 0 - 3 - 4 - 5) / 5)
    data = mae.to_data()
    assert (data["better"], data["same"], data["worse"]) == (3, 1, 1)
    table = tables(compared)[2]
    assert table.title == "mae (mae/1, lower is better): difference from a"
    assert table.rows[0][5] == "3 / 1 / 1"


def test_of_a_metric_with_no_better_way_only_the_direction_is_told(tmp_path):
    paths = []
    for name, levels in (("a", 1), ("b", 2)):
        path = scored(tmp_path, name, dict.fromkeys(NAMES, levels), metrics=("mae",))
        rewrite(path, '"higher_is_better": false', '"higher_is_better": null')
        paths.append(path)
    compared = run(*paths, quantities=("mae",))
    assert compared.to_data()["differences"][0]["better"] is None
    assert tables(compared)[0].columns[5] == "higher/same/lower"
    assert tables(compared)[0].rows[0][5] == "5 / 0 / 0"


def test_a_metric_that_was_computed_otherwise_is_not_compared(tmp_path):
    a, b = (
        scored(tmp_path, name, dict.fromkeys(NAMES, 4), metrics=("mae",)) for name in ("a", "b")
    )
    rewrite(b, '"label": "mae/1"', '"label": "mae/2"')
    compared = run(a, b)
    assert [each.quantity for each in compared.differences] == ["psnr", "ssim"]
    assert compared.notices == (
        "mae is measured differently (a by mae/1, b by mae/2); not compared",
    )


def test_quantities_are_chosen(two):
    assert [each.quantity for each in run(*two, quantities=("ssim",)).differences] == ["ssim"]
    with pytest.raises(UsageError, match="--metric mae: in none of the files; choose from psnr"):
        run(*two, quantities=("mae",))
    with pytest.raises(UsageError, match="rain: a has no psnr_gain"):
        run(*two, quantities=("psnr_gain",))


def test_one_picture_has_a_difference_but_neither_interval_nor_p(tmp_path):
    a, b = scored(tmp_path, "a", {"p": 8}), scored(tmp_path, "b", {"p": 4})
    compared = run(a, b)
    assert tables(compared)[0].rows[0][2:] == ("1", "+6.021", "n/a", "1 / 0 / 0", "n/a")
    data = compared.to_data()["differences"][0]
    assert (data["interval"], data["p"], data["p_holm"]) == (None, None, None)


def test_what_is_written_agrees(tmp_path, two):
    compared = run(*two, output=tmp_path / "new/out")
    names = [path.name for path in compared.written]
    assert names == ["compare.md", "compare.json", "compare.tex", "compare.csv"]
    markdown, data, latex, lines = (path.read_text(encoding="utf-8") for path in compared.written)
    row = tables(compared)[0].rows[0]
    assert f"| {' | '.join(row)} |" in markdown
    assert f"{' & '.join(row)} \\\\" in latex
    assert json.loads(data) == json.loads(json.dumps(compared.to_data(), allow_nan=False))
    rows = list(csv.DictReader(lines.splitlines()))
    assert len(rows) == 2 * 5
    assert (rows[0]["picture"], rows[0]["label"], rows[0]["result"]) == ("p1", "prenet/1", "b")
    assert float(rows[0]["difference"]) == pytest.approx(decibels((8, 7))[0], abs=1e-3)
    again = run(*two, output=tmp_path / "new/out", overwrite=True)
    assert [path.read_text(encoding="utf-8") for path in again.written] == [
        markdown, data, latex, lines,
    ]  # fmt: skip


def test_nothing_is_replaced_unasked(tmp_path, two):
    output = tmp_path / "out"
    output.mkdir()
    (output / "compare.tex").write_text("mine")
    with pytest.raises(UsageError, match=r"compare\.tex exists; pass --overwrite"):
        run(*two, output=output)
    assert [path.name for path in output.iterdir()] == ["compare.tex"]
    with pytest.raises(UsageError, match="is a file"):
        run(*two, output=output / "compare.tex")


def test_a_name_cannot_end_a_comment_of_the_latex_file(tmp_path, two):
    for path in two:
        rewrite(path, '"restored": "', '"restored": "x\\n')
    written = run(*two, output=tmp_path / "out").written[2].read_text(encoding="utf-8")
    heads = [line for line in written.splitlines() if "difference from" in line]
    assert heads
    assert all(line.startswith("% ") and line.endswith("from x a") for line in heads)


def test_a_file_that_is_none_is_refused(tmp_path, two):
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"other\.json: not a metrics\.json"):
        run(two[0], tmp_path / "other.json")


def test_gains_are_compared_where_both_have_them(tmp_path):
    paths = []
    for name, levels in (("a", 8), ("b", 4)):
        scored(tmp_path, name, dict.fromkeys(NAMES, levels))
        for picture in NAMES:
            write(tmp_path / f"rain/rainy/{picture}.png", scene(picture) + np.uint8(16))
        source = FoldersRequest(
            restored=tmp_path / "rain" / name,
            target=tmp_path / "rain/clean",
            rainy=tmp_path / "rain/rainy",
            protocols=(PRENET,),
        )
        output = tmp_path / "gains" / name
        evaluation.run(EvalRequest(sources=(source,), output=output))
        paths.append(output)
    (gain,) = run(*paths, quantities=("psnr_gain",)).differences
    assert gain.found.mean == pytest.approx(decibels((8, 4))[0], abs=1e-3)
    assert gain.found.reference == pytest.approx(decibels((16, 8))[0], abs=1e-3)
    assert gain.title == "gain dB"
