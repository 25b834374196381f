"""Runs of synthesis that were stopped, killed or shared out: the result is that of one run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rainkit import images
from rainkit.datasets import manifest
from rainkit.errors import DatasetError, UsageError
from rainkit.synthesis.request import SynthRequest
from rainkit.synthesis.run import synthesise


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stopped_run_goes_on_and_ends_like_one_that_was_not(
    files, request_: SynthRequest, workers: int
) -> None:
    synthesise(replace(request_, out=request_.out.with_name("alone")))

    def stop(what: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesise(replace(request_, workers=workers), stop)
    assert not (request_.out / manifest.MANIFEST).exists()
    steps: list[int] = []
    result = synthesise(
        replace(request_, workers=workers), lambda what, done, total: steps.append(done)
    )
    assert (result.scenes, result.pairs, result.resumed) == (3, 6, 2)
    assert steps == [3]
    assert files(request_.out) == files(request_.out.with_name("alone"))


def test_what_was_half_written_when_a_run_was_killed_is_made_again(
    files, request_: SynthRequest
) -> None:
    synthesise(replace(request_, out=request_.out.with_name("alone")))
    synthesise(request_)
    half = request_.out
    (half / manifest.MANIFEST).unlink()
    (half / "input" / "a_01.png").write_bytes(b"half")
    (half / "input" / ".rainkit-0123456789ab.png").write_bytes(b"temporary")
    result = synthesise(request_)
    assert result.resumed == 0
    assert files(half) == files(half.with_name("alone"))


def test_an_unfinished_dataset_is_not_finished_otherwise(
    request_: SynthRequest, photos: Path
) -> None:
    def stop(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesise(request_, stop)
    with pytest.raises(
        UsageError, match=r"made with other options \(variants, seed\).*--overwrite"
    ) as error:
        synthesise(replace(request_, seed=3, variants=5))
    assert "\n" not in str(error.value)
    images.write(photos / "b.png", images.read(photos / "a.png"), overwrite=True)
    with pytest.raises(UsageError, match="photographs"):
        synthesise(request_)
    result = synthesise(replace(request_, variants=1, overwrite=True))
    assert (result.pairs, result.resumed) == (3, 0)
    assert len(list((request_.out / "input").iterdir())) == 3


def test_two_runs_do_not_write_to_one_folder(request_: SynthRequest) -> None:
    def start_another(what: str, done: int, total: int) -> None:
        with pytest.raises(UsageError, match="another rainkit synth"):
            synthesise(request_)

    assert synthesise(request_, start_another).pairs == 6


def test_shards_together_make_what_one_run_makes(files, request_: SynthRequest) -> None:
    whole = replace(request_, out=request_.out.with_name("whole"), test_scenes=1, layout="hf")
    synthesise(whole)
    parts = [replace(whole, out=request_.out, shard=(part, 3)) for part in (2, 1, 3)]
    for part in parts:
        with pytest.raises(DatasetError, match="manifest"):
            manifest.read(request_.out)
        assert synthesise(part).pairs == 2
    assert files(request_.out) == files(whole.out)
    with pytest.raises(UsageError, match="already, finished: add --overwrite"):
        synthesise(parts[0])


def test_shards_of_another_number_are_refused(request_: SynthRequest) -> None:
    synthesise(replace(request_, shard=(1, 3)))
    with pytest.raises(UsageError, match=r"holds shards of 3: shard I/2 .* another folder"):
        synthesise(replace(request_, shard=(1, 2)))
    synthesise(replace(request_, shard=(2, 3)))


def test_a_shard_is_made_once(request_: SynthRequest) -> None:
    part = replace(request_, shard=(1, 3))
    synthesise(part)
    with pytest.raises(UsageError, match="holds shard 1 already"):
        synthesise(part)
