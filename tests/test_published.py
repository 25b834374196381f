"""Figures of papers: written as tables, and shown digit for digit."""

from __future__ import annotations

import dataclasses

import pytest

from rainkit.api import MeasuredResult, Method, PublishedResult, measured_table, published_table
from rainkit.published import paper_tables, published_rows, rows_on, same_dataset

TABLE = """
            | Rain100L      | Rain-II (Rain100H) | parameters | trained on
    JORDER  | 35.23/.9676   | 26.10/.82[a]       | 369,792    | its own data
    DDN[b]  | 25.990        | -                  |            |
    *       | 37.5/.98      |                    | 42         |
    * small | 30.1/.9       | 20.00/.7000        | 7          |
"""
NOTES = {"a": "more pictures", "b": "copied"}


@pytest.fixture
def method(tiny_method: Method) -> Method:
    """A method whose paper has one table of scores and one of times."""
    times = """
               | device | 512x512 picture
        JORDER | CPU    | 295
        *      | GPU    | .10
    """
    results = (
        *published_table("Table 2", TABLE, trained_on="theirs", note="Y channel", notes=NOTES),
        *published_table("Table 4", times, figures="seconds"),
    )
    return dataclasses.replace(
        tiny_method, paper=dataclasses.replace(tiny_method.paper, results=results)
    )


def test_a_table_becomes_a_result_for_each_figure_with_the_digits_it_prints(method) -> None:
    first, second, ddn, own, *_, time = method.paper.results
    assert first == PublishedResult(
        table="Table 2",
        method="JORDER",
        dataset="Rain100L",
        psnr="35.23",
        ssim="0.9676",
        parameters=369_792,
        trained_on="its own data",
        note="Y channel",
    )
    assert (second.ssim, second.note) == ("0.82", "Y channel; more pictures")
    assert (ddn.method, ddn.psnr, ddn.ssim) == ("DDN", "25.990", None)
    assert (ddn.trained_on, ddn.note) == ("theirs", "Y channel; copied")
    assert (own.method, own.variant, own.psnr) == ("", "", "37.5")
    assert (time.seconds, time.device) == ("0.10", "GPU")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a | Rain100L\nDDN | 1 | 2", ValueError),
        ("a | Rain100L\nDDN | 1/2/3", ValueError),
        ("a | Rain100L\nDDN | 1[z]", KeyError),
    ],
)
def test_a_table_that_does_not_add_up_is_refused(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        published_table("Table 1", text)


def test_tables_are_shown_as_papers_print_them(method) -> None:
    scores, times = paper_tables(method, rivals=True)
    assert scores.table.title == "Table 2: PSNR dB / SSIM"
    assert scores.table.columns == (
        "method", "trained on", "parameters", "Rain100L", "Rain-II (Rain100H)"
    )  # fmt: skip
    assert scores.table.rows == (
        ("JORDER", "its own data", "369,792", "35.23 / 0.9676", "26.10 / 0.82"),
        ("DDN", "theirs", "", "25.990 / -", ""),
        ("Tiny", "theirs", "42", "37.5 / 0.98", ""),
        ("small", "theirs", "7", "30.1 / 0.9", "20.00 / 0.7000"),
    )
    assert scores.notes == (
        "Y channel",
        "JORDER on Rain-II (Rain100H): more pictures",
        "DDN: copied",
    )
    assert times.table.rows == (("JORDER", "CPU", "295"), ("Tiny", "GPU", "0.10"))
    own, _ = paper_tables(method, rivals=False)
    assert [row[0] for row in own.table.rows] == ["Tiny", "small"]


def test_rows_of_a_measured_dataset_are_found_by_either_name(method) -> None:
    rows = published_rows([method])
    found = rows_on(rows, ["rain100h"])
    assert [row.name for row in found] == ["JORDER, Tiny's Table 2", "Tiny: small, Table 2"]
    assert found[0].note == "trained on its own data; Y channel; more pictures"
    data = found[0].to_data()
    assert (data["kind"], data["psnr"], data["method"]) == ("published", "26.10", "JORDER")
    assert not rows_on(rows, ["512x512 picture"]), "times are no scores"
    for printed, measured, same in (
        ("Rain100L", "rain_100l", True),
        ("DDN test set", "ddn", True),
        ("Rain100L", "rain100", False),
        ("not named", "test", False),
    ):
        assert same_dataset(printed, measured) is same


def test_measured_results_are_read_from_a_table() -> None:
    text = """
                | pictures | PSNR/SSIM   | input
        ours    | 25       | 32.12/.9413 | 26.23/0.82
        theirs  | 3        | 21/.7       | 13.8/.36
    """
    first, second = measured_table(text, protocol="prenet/1")
    assert first == MeasuredResult(
        dataset="ours",
        protocol="prenet/1",
        images=25,
        psnr=32.12,
        ssim=0.9413,
        input_psnr=26.23,
        input_ssim=0.82,
    )
    assert (second.dataset, second.images, second.psnr) == ("theirs", 3, 21.0)
    for line in ("ours | 25 | 32.1/.94", "ours | 25 | 32.1 | 26/.8", "ours | 25 | high/.9 | 26/.8"):
        with pytest.raises(ValueError, match=r"unpack|convert"):
            measured_table(f"heading\n{line}")
