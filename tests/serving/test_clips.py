"""Clips in the HTTP interface of `rainkit serve`: sent, followed, fetched, given up, forgotten."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rainkit
from rainkit.serving.clips import remove_left_behind
from rainkit.serving.pool import Ticket
from rainkit.serving.work import Answer, StoppedError, Task, clip_kind

av = pytest.importorskip("av")


@pytest.fixture(autouse=True)
def below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, in which nothing must be left."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


class Slow:
    """A worker that writes a few bytes and waits for a sign."""

    def __init__(self, written: int = 0) -> None:
        self.sign = threading.Event()
        self.written = written

    def start(self) -> None:
        pass

    def work(self, task: Task, ticket: Ticket) -> Answer:
        assert task.clip is not None
        task.clip.result.with_suffix(".mp4").write_bytes(bytes(self.written))
        while not self.sign.wait(0.01):
            if ticket.stopped:
                raise StoppedError
        kind = {"suffix": ".mp4", "media_type": "video/mp4"}
        return Answer(data=b"", width=1, height=1, seconds=0.1, frames=1, **kind)

    def close(self) -> None:
        self.sign.set()


def wait_for(client: Any, path: str, seen: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    end = time.monotonic() + 20
    while not seen(job := client.get(path).json()):
        assert time.monotonic() < end, job
        time.sleep(0.01)
    return job


def over(client: Any, job: dict[str, Any]) -> dict[str, Any]:
    path = f"/api/clips/{job['id']}"
    return wait_for(client, path, lambda each: each["state"] in ("done", "failed"))


def files(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.is_file() and each.name != "lock"]


def all_removed(folder: Path) -> None:
    """Wait until no files of clips are left."""
    end = time.monotonic() + 20
    while files(folder):
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".mp4", "mp4"), (".mov", "quicktime"), (".webm", "webm")]
)
def test_a_clip_is_sent_followed_fetched_and_deleted(serve, clip, below, suffix: str, kind: str):
    client, sent = serve(), clip(suffix)
    begun = client.post("/api/clips?strength=0.5&steady=true", files={"file": ("../a b.x", sent)})
    assert begun.status_code == 202
    job = begun.json()
    assert begun.headers["location"] == f"/api/clips/{job['id']}"
    job = over(client, job)
    assert (job["state"], job["error"], job["progress"], job["name"]) == ("done", None, 1, "a b.x")
    assert (job["frames"], job["width"], job["height"], job["notes"]) == (6, 48, 32, [])
    assert (job["method"], job["strength"], job["steady"]) == ("tiny", 0.5, True)
    got = client.get(job["result"])
    assert got.status_code == 200
    assert got.headers["content-type"] == f"video/{kind}"
    assert f"a%20b-tiny{suffix}" in got.headers["content-disposition"]
    assert len(got.content) == job["bytes"]
    part = client.get(job["result"], headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, got.content[10:20])
    with av.open(io.BytesIO(got.content)) as made:
        assert [each.type for each in made.streams] == [
            "video",
            *(["audio"] if suffix == ".mp4" else []),
        ]
        assert sum(1 for _ in made.decode(video=0)) == 6
    # What was sent is gone, and so is the result when it is deleted.
    assert [each.name for each in files(below)] == [f"result{suffix}"]
    assert client.delete(f"/api/clips/{job['id']}").status_code == 204
    assert client.get(f"/api/clips/{job['id']}").status_code == 404
    assert client.get(job["result"]).status_code == 404
    assert not files(below)
    metrics = client.get("/metrics").text
    assert 'rainkit_clips_total{method="tiny",outcome="done"} 1.0' in metrics
    assert "rainkit_frames_total 6.0" in metrics
    assert "rainkit_disk_bytes 0.0" in metrics
    client.__exit__(None, None, None)
    assert not list(below.iterdir())


def test_the_result_is_that_of_the_library(serve, clip, below, tiny_weights):
    client, sent = serve(), clip()
    job = over(client, client.post("/api/clips?strength=1.5", content=sent).json())
    (below / "a.mp4").write_bytes(sent)
    derainer = rainkit.load("tiny", weights=tiny_weights, device="cpu", strength=1.5)
    derainer.derain_video(below / "a.mp4", below / "b.mp4")
    assert client.get(job["result"]).content == (below / "b.mp4").read_bytes()
    assert job["result_name"] == "clip-tiny.mp4"


def test_what_is_no_clip_is_refused_in_one_line(serve, clip, below):
    client, whole = serve(places=1), clip()
    picture = b"\x89PNG\r\n\x1a\n" + bytes(100)
    for body, status, words in (
        (b"", 422, "clip: is empty (0 bytes)"),
        (b"hello", 422, "clip: is no MP4"),
        (picture, 422, "clip: is no MP4"),
        (b"\0\0\0\x18ftypheic" + bytes(100), 422, "clip: is no MP4"),
        (b"#EXTM3U\nfile:///etc/hostname\n", 422, "clip: is no MP4"),
        (bytes(120_000), 413, "100,000"),
    ):
        limited = serve(places=1, clip_bytes=100_000) if status == 413 else client
        answer = limited.post("/api/clips", content=body)
        assert answer.status_code == status
        assert words in answer.json()["detail"]
    for path in ("/api/derain", "/api/view"):
        answer = client.post(path, content=whole)
        assert answer.status_code == 422
        assert answer.json()["detail"] == "picture: is a clip; send it to /api/clips"
    assert client.get("/api/clips/none").status_code == 404
    assert client.delete("/api/clips/none").status_code == 404
    assert not files(below)
    # Nothing holds the only place of the queue.
    assert over(client, client.post("/api/clips", content=whole).json())["state"] == "done"


def test_a_clip_that_cannot_be_decoded_or_is_too_much_fails_by_its_name(serve, clip, below):
    whole, long = clip(), clip(frames=25)
    for body, limits, words in (
        (whole[:48] + bytes(300), {}, "cannot be decoded as a video"),
        (whole, {"clip_pixels": 1000}, "its frames have 48x32 pixels, more than 1,000"),
        (long, {"clip_length": 2.0}, "plays 2.5 s, more than 2 s; cut it"),
    ):
        client = serve(**limits)
        begun = client.post("/api/clips", files={"file": ("rain.mp4", body)})
        job = over(client, begun.json())
        assert job["state"] == "failed"
        assert job["error"].startswith("rain.mp4: ")
        assert words in job["error"]
        assert str(below) not in job["error"]
        assert client.get(f"/api/clips/{job['id']}/result").status_code == 422
        assert not files(below)
        assert "rainkit_disk_bytes 0.0" in client.get("/metrics").text


def test_a_clip_that_does_not_tell_its_length_is_stopped_when_it_is_too_long(serve, clip):
    live = clip(".mkv", frames=25, options={"live": "1"})
    client = serve(clip_length=1.0)
    job = over(client, client.post("/api/clips", content=live).json())
    assert (job["state"], job["progress"]) == ("failed", 0)
    assert "plays more than 1 s; cut it" in job["error"]
    client = serve(clip_length=2.0)
    job = over(client, client.post("/api/clips", content=live).json())
    assert (job["state"], job["frames"]) == ("done", 25)


def test_a_full_queue_answers_429_and_a_clip_that_is_given_up_makes_room(serve, clip, below):
    slow, sent = Slow(), clip()
    client = serve(slow, places=2)
    first, second = (client.post("/api/clips", content=sent).json() for _ in range(2))
    wait_for(client, f"/api/clips/{first['id']}", lambda job: job["state"] == "running")
    assert client.get(f"/api/clips/{second['id']}").json()["before"] == 1
    answer = client.post("/api/clips", content=sent)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 600
    assert client.get(f"/api/clips/{first['id']}/result").status_code == 409
    # Both the one that is worked on and the one that waits can be given up.
    for job in (second, first):
        assert client.delete(f"/api/clips/{job['id']}").status_code == 204
        assert client.get(f"/api/clips/{job['id']}").status_code == 404
    all_removed(below)
    slow.sign.set()
    again = client.post("/api/clips", content=sent)
    assert over(client, again.json())["state"] == "done"
    assert 'rainkit_clips_total{method="tiny",outcome="cancelled"} 2.0' in (
        client.get("/metrics").text
    )


def test_a_full_disk_answers_429_and_ends_a_clip_that_fills_it(serve, clip, below, monkeypatch):
    sent = clip()
    monkeypatch.setattr("rainkit.serving.clips._MEASURED", 0.01)
    client = serve(Slow(written=3 * len(sent)), disk_bytes=3 * len(sent))
    job = over(client, client.post("/api/clips", content=sent).json())
    assert job["error"] == "clip: the disk space for clips is full; send a shorter clip"
    all_removed(below)  # as soon as the worker has let go of them
    slow = Slow(written=len(sent))
    slow.sign.set()
    client = serve(slow, disk_bytes=2 * len(sent), keep_seconds=1000)
    kept = over(client, client.post("/api/clips", content=sent).json())
    assert client.post("/api/clips", content=sent + b"more").status_code == 429
    # A result that nobody has asked about for a minute makes room.
    now = time.monotonic()
    monkeypatch.setattr("rainkit.serving.jobs.time.monotonic", lambda: now + 70)
    assert client.post("/api/clips", content=sent + b"more").status_code == 202
    assert client.get(f"/api/clips/{kept['id']}").status_code == 404


def test_results_are_forgotten_by_age_and_number(serve, clip, below, monkeypatch):
    slow = Slow(written=10)
    slow.sign.set()
    client = serve(slow, clips=2, keep_seconds=1000)
    jobs = [over(client, client.post("/api/clips", content=clip()).json()) for _ in range(2)]
    assert client.post("/api/clips", content=clip()).status_code == 429
    now = time.monotonic()
    monkeypatch.setattr("rainkit.serving.jobs.time.monotonic", lambda: now + 70)
    third = over(client, client.post("/api/clips", content=clip()).json())
    states = [client.get(f"/api/clips/{job['id']}").status_code for job in (*jobs, third)]
    assert states == [404, 200, 200]
    monkeypatch.setattr("rainkit.serving.jobs.time.monotonic", lambda: now + 1100)
    assert client.get(f"/api/clips/{third['id']}").status_code == 404
    assert not files(below)


def test_without_pyav_it_says_what_to_install(serve, clip):
    client = serve(takes_clips=False)
    for answer in (client.post("/api/clips", content=clip()), client.get("/api/clips/x")):
        assert answer.status_code == 501
        assert "pip install av" in answer.json()["detail"]
    assert client.get("/api/methods").json()["limits"]["clip"] is None
    assert "No clips" in client.get("/").text


def test_what_a_killed_server_left_is_removed(serve, clip, below):
    client = serve()
    over(client, client.post("/api/clips", content=clip()).json())
    (running,) = below.iterdir()
    dead, other = below / "rainkit-serve-dead", below / "rainkit-serve-other"
    for folder in (dead, other):
        (folder / "clip").mkdir(parents=True)
        (folder / "clip" / "source").write_bytes(b"rain")
    (dead / "lock").touch()
    remove_left_behind()
    assert set(below.iterdir()) == {running, other}  # one without a lock may be anything
    assert files(running)


@pytest.mark.parametrize(
    ("head", "suffix"),
    [
        (b"\0\0\0\x20ftypisom", ".mp4"),
        (b"\0\0\0\x20ftypqt  ", ".mov"),
        (b"\0\0\0\x20ftypM4V ", ".m4v"),
        (b"\0\0\0\x08wide", ".mov"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm", ".webm"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska", ".mkv"),
        (b"\0\0\0\x20ftypavif", None),
        (b"\0\0\0\x20ftypmif1", None),
        (b"RIFF\0\0\0\0AVI LIST", None),
        (b"", None),
    ],
)
def test_clips_are_known_by_their_first_bytes(head: bytes, suffix: str | None):
    assert clip_kind(head) == suffix
