"""The HTTP interface of `rainkit serve`, in this process."""

from __future__ import annotations

import asyncio
import io
import struct
import threading
import time
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, features
from starlette.types import Message

import rainkit
from rainkit import images
from rainkit.errors import UsageError
from rainkit.images import Picture
from rainkit.runtime_options import RuntimeOptions
from rainkit.serving import offers
from rainkit.serving.app import _Held
from rainkit.serving.pool import Ticket
from rainkit.serving.uploads import plain_name
from rainkit.serving.work import Answer, StoppedError, Task

OPTIONS = RuntimeOptions(device="cpu")


class Gate:
    """A worker that waits for a sign, and then sends back what it was sent."""

    def __init__(self, *, opened: bool = False) -> None:
        self.sign = threading.Event()
        if opened:
            self.sign.set()

    def start(self) -> None:
        pass

    def work(self, task: Task, ticket: Ticket) -> Answer:
        while not self.sign.wait(0.01):
            if ticket.stopped:
                raise StoppedError
        return Answer(
            data=task.data, suffix=".png", media_type="image/png", width=1, height=1, seconds=0.1
        )

    def close(self) -> None:
        self.sign.set()


def photograph(seed: int = 0, width: int = 40, height: int = 30) -> Picture:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 5, 3)).astype(np.uint8)
    return Picture(np.asarray(cv2.resize(coarse, (width, height)), np.uint8))


def png(seed: int = 0, width: int = 40, height: int = 30) -> bytes:
    return images.encode(photograph(seed, width, height), ".png")


def wait_for(client, job: dict) -> dict:
    end = time.monotonic() + 20
    while job["state"] != "done":
        assert time.monotonic() < end
        time.sleep(0.01)
        job = client.get(f"/api/jobs/{job['id']}").json()
    return job


def bomb() -> bytes:
    """A PNG file of a few bytes whose header tells of 60000x60000 pixels."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"tEXt", b"a\0b"), (b"IDAT", zlib.compress(bytes(100))))
    chunks = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in (*parts, (b"IEND", b""))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp"])
def test_a_picture_comes_back_in_its_format(serve, suffix: str):
    answer = serve().post("/api/derain", content=images.encode(photograph(), suffix))
    assert answer.status_code == 200
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (40, 30)
        assert Image.MIME[image.format] == answer.headers["content-type"]
    assert f"derained{suffix}" in answer.headers["content-disposition"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_result_is_that_of_the_library_and_strength_scales_its_rain(serve, tiny_weights):
    client, rainy = serve(), photograph()
    sent = images.encode(rainy, ".png")
    for strength in (0, 0.5, 1, 1.5):
        derainer = rainkit.load("tiny", weights=tiny_weights, device="cpu", strength=strength)
        answer = client.post(f"/api/derain?strength={strength}", content=sent)
        np.testing.assert_array_equal(
            images.decode(answer.content, "a").rgb, derainer.derain(rainy.rgb)
        )


def test_metadata_depth_and_alpha_are_kept(serve):
    deep = photograph().rgb.astype(np.uint16) * 257
    alpha = np.full(deep.shape[:2], 40_000, np.uint16)
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    sent = Picture(deep, alpha=alpha, exif=exif.tobytes(), dpi=(300, 300), xmp=b"<x/>")
    for suffix in (".png", ".tif"):
        answer = serve().post("/api/derain", content=images.encode(sent, suffix))
        got = images.decode(answer.content, "a")
        assert got.rgb.dtype == np.uint16
        np.testing.assert_array_equal(got.alpha, alpha)
        assert b"Maker" in (got.exif or b"")
        assert got.dpi == pytest.approx((300, 300), abs=0.1)
        assert got.xmp == b"<x/>"


def test_every_frame_of_an_animation_is_derained(serve):
    frames = [Image.fromarray(photograph(seed).rgb) for seed in range(3)]
    file = io.BytesIO()
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    answer = serve().post("/api/derain", content=file.getvalue())
    assert answer.headers["content-type"] == "image/webp"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.n_frames == 3


def test_all_shipped_weights_are_offered_and_auto_is_the_default():
    first, *others = offers((), OPTIONS)
    assert (first.name, first.method) == ("auto", "auto")
    assert len({each.name for each in others}) == len(others) > 1
    assert offers(["auto", others[0].name], OPTIONS) == (first, others[0])
    with pytest.raises(UsageError, match="two are called"):
        offers([others[0].name, others[0].name], OPTIONS)


def test_forms_and_plain_bodies_are_the_same(serve):
    client, sent = serve(), png()
    form = client.post("/api/derain", files={"file": ("a.png", sent)}, data={"note": "x"})
    assert form.content == client.post("/api/derain", content=sent).content


def test_a_view_is_a_small_jpeg_of_what_browsers_do_not_show(serve):
    deep = Picture(photograph().rgb.astype(np.uint16) * 257)
    answer = serve().post("/api/view", content=images.encode(deep, ".tif"))
    assert answer.headers["content-type"] == "image/jpeg"
    assert images.decode(answer.content, "a").size == (40, 30)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 422, "empty"),
        (b"hello", 422, "is not a JPEG"),
        (b"%PDF-1.4", 422, "PDF"),
        (png()[:-200], 422, "damaged"),
        (images.encode(photograph(), ".jpg")[:300], 422, "damaged"),
        (bomb(), 422, "60000x60000 pixels, more than 1,000,000"),
        (bytes(120_000), 413, "100,000"),
    ],
    ids=["empty", "text", "pdf", "png", "jpeg", "bomb", "large"],
)
def test_garbage_is_refused_in_one_line(serve, body: bytes, status: int, words: str):
    client = serve()
    plain = client.post("/api/derain", content=body)
    form = client.post("/api/derain", files={"file": ("some.png", body)})
    chunks = client.post("/api/derain", content=iter([body[:50], body[50:]]))
    for answer in (plain, form, chunks):
        assert answer.status_code == status
        assert words in answer.json()["detail"]
        assert "\n" not in answer.json()["detail"]
    assert client.post("/api/derain", content=png()).status_code == 200
    assert "rainkit_memory_bytes 0.0" in client.get("/metrics").text


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("method=tinny", "did you mean tiny?"),
        ("method=/etc/passwd", "unknown; choose from tiny"),
        ("strength=1.6", "strength"),
        ("strength=nan", "strength"),
        ("strength=much", "strength"),
    ],
)
def test_wrong_options_are_named(serve, query: str, words: str):
    answer = serve().post(f"/api/derain?{query}", content=png())
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x"),
        (b"--x--\r\n", "multipart/form-data; boundary=x"),
        (b"abc", "multipart/form-data"),
        (
            b'--x\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nab',
            "multipart/form-data; boundary=x",
        ),
        (b"--x\r\n" + b"A: b\r\n" * 50, "multipart/form-data; boundary=x"),
    ],
)
def test_damaged_forms_are_refused_and_hold_nothing(serve, body: bytes, kind: str):
    client = serve(places=1)
    answer = client.post("/api/jobs", content=body, headers={"content-type": kind})
    assert answer.status_code == 400
    assert client.post("/api/derain", content=png()).status_code == 200


def test_only_this_machine_may_ask_without_a_token(serve):
    client = serve()
    assert client.get("/", headers={"host": "evil.example:8000"}).status_code == 403
    assert client.get("/health", headers={"host": ""}).status_code == 403
    assert client.get("/health", headers={"host": "[::1]:9"}).status_code == 200
    assert client.get("/health", headers={"host": "localhost:9"}).status_code == 200
    for origin in ("https://evil.example", "null", "http://localhost:8000"):
        answer = client.post("/api/derain", content=png(), headers={"origin": origin})
        assert answer.status_code == 403
        assert "other sites" in answer.json()["detail"]
    cross = {"sec-fetch-site": "cross-site"}
    assert client.get("/api/methods", headers=cross).status_code == 403
    own = {"origin": "http://127.0.0.1:8000"}
    assert client.post("/api/derain", content=png(), headers=own).status_code == 200


def test_a_token_is_asked_for(serve):
    client = serve(token="a-secret-of-many-letters")  # noqa: S106
    assert "a-secret" not in client.get("/").text
    assert client.get("/health").status_code == 200
    assert client.get("/openapi.json").status_code == 200  # which the page links to
    for path in ("/api/methods", "/metrics", "/api/jobs/x", "/nothing"):
        for header in ({}, {"authorization": "Bearer wrong"}, {"authorization": b"Bearer \xff"}):
            answer = client.get(path, headers=header)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
    right = {"authorization": "Bearer a-secret-of-many-letters", "host": "photos.example"}
    assert client.get("/api/methods", headers=right).json()["default"] == "tiny"


def test_a_full_queue_answers_429_before_it_receives(serve):
    gate = Gate()
    client = serve(gate, places=2)
    jobs = [client.post("/api/jobs", content=png()).json() for _ in range(2)]
    for path in ("/api/derain", "/api/jobs"):
        answer = client.post(path, content=png())
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 600
        assert "2 places" in answer.json()["detail"]
    assert client.get("/health").json()["running"] == 1
    # A picture that is given up makes room, whether it waits or is worked on.
    client.delete(f"/api/jobs/{jobs[1]['id']}")
    again = client.post("/api/jobs", content=png()).json()
    gate.sign.set()
    wait_for(client, jobs[0])
    wait_for(client, again)
    assert client.post("/api/derain", content=png()).status_code == 200


def test_a_full_memory_answers_429_until_jobs_are_deleted(serve):
    size = len(png())
    client = serve(Gate(opened=True), memory_bytes=int(2.5 * size))
    jobs = [wait_for(client, client.post("/api/jobs", content=png()).json()) for _ in range(2)]
    assert client.post("/api/derain", content=png()).status_code == 429
    assert client.delete(f"/api/jobs/{jobs[0]['id']}").status_code == 204
    assert client.get(f"/api/jobs/{jobs[0]['id']}").status_code == 404
    assert client.post("/api/jobs", content=png()).status_code == 202


def test_what_can_never_fit_is_told_so(serve):
    client = serve(Gate(opened=True), memory_bytes=int(1.5 * len(png())))
    files = [("files", (f"{number}.png", png(number))) for number in range(3)]
    answer = client.post("/api/jobs", files=files)
    assert answer.status_code == 413
    assert "the memory for pictures: send less" in answer.json()["detail"]
    assert client.post("/api/derain", content=png()).status_code == 200
    assert "rainkit_memory_bytes 0.0" in client.get("/metrics").text


def test_an_answer_is_held_until_its_last_piece_was_taken():
    held: list[str] = []

    async def send(message: Message) -> None:
        held.append(f"{message['type']}: {len(message.get('body', b''))}")
        if len(held) == 3:
            raise ConnectionError

    for gone in (True, False):
        held[:] = [] if gone else [""] * 4
        answer = _Held(bytes(150_000), over=lambda: held.append("over"))
        with suppress(ConnectionError):
            asyncio.run(answer({"type": "http"}, None, send))  # type: ignore[arg-type]
        assert held[-1] == "over"
        assert held.count("over") == 1
    assert held[4:-1] == [
        "http.response.start: 0",
        "http.response.body: 65536",
        "http.response.body: 65536",
        "http.response.body: 18928",
        "http.response.body: 0",
    ]


@pytest.mark.skipif(not features.check("avif"), reason="Pillow cannot write AVIF")
def test_an_avif_file_stays_one_whatever_brand_comes_first(serve):
    data = images.encode(photograph(), ".avif")
    assert data[8:12] == b"avif"
    answer = serve().post("/api/derain", content=data[:8] + b"mif1" + data[12:])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/avif")


def test_an_answer_may_fill_the_place_of_what_was_sent(serve):
    client = serve(Gate(opened=True), memory_bytes=int(1.5 * len(png())))
    assert client.post("/api/derain", content=png()).content == png()
    assert "rainkit_memory_bytes 0.0" in client.get("/metrics").text


def test_jobs_make_room_or_end_when_nobody_asks_about_them(serve, monkeypatch):
    client = serve(Gate(opened=True), memory_bytes=int(1.5 * len(png())), keep_seconds=1000)
    first = wait_for(client, client.post("/api/jobs", content=png()).json())
    # There is room for a result in place of what was sent, though not for both.
    assert client.get(first["pictures"][0]["result"]).content == png()
    now = time.monotonic()
    monkeypatch.setattr("rainkit.serving.jobs.time.monotonic", lambda: now + 70)
    second = client.post("/api/jobs", content=png())
    assert second.status_code == 202
    assert client.get(f"/api/jobs/{first['id']}").status_code == 404
    wait_for(client, second.json())
    monkeypatch.setattr("rainkit.serving.jobs.time.monotonic", lambda: now + 1100)
    assert client.get(f"/api/jobs/{second.json()['id']}").status_code == 404
    assert "rainkit_memory_bytes 0.0" in client.get("/metrics").text


def test_a_job_takes_several_pictures_and_names_touch_no_disk(serve, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    client, jpeg = serve(), images.encode(photograph(1), ".jpg")
    files = [
        ("files", ("../../etc/雨 photo.png", png(1))),
        ("files", (r"C:\rain\photo.png", png(2))),
        ("files", ("photo.png", png(3))),
        ("files", ("x.jpg", jpeg[:400])),
        ("files", ("huge.png", bytes(150_000))),
        ("files", ("none.png", b"")),
        ("files", ("y.png", jpeg)),
    ]
    begun = client.post("/api/jobs?strength=0.5", files=files)
    assert begun.status_code == 202
    assert begun.headers["location"] == f"/api/jobs/{begun.json()['id']}"
    job = wait_for(client, begun.json())
    assert (job["done"], job["failed"], job["strength"]) == (4, 3, 0.5)
    names = [each["name"] for each in job["pictures"]]
    assert names == ["雨 photo.png", "photo.png", "photo.png", *[f[1][0] for f in files[3:]]]
    errors = [each["error"] for each in job["pictures"] if each["error"]]
    assert [error.split(":")[0] for error in errors] == ["x.jpg", "huge.png", "none.png"]
    one = client.get(job["pictures"][0]["result"])
    assert one.content == client.post("/api/derain?strength=0.5", content=png(1)).content
    assert client.get(f"/api/jobs/{job['id']}/pictures/3").status_code == 422
    assert client.get(f"/api/jobs/{job['id']}/pictures/7").status_code == 404
    archive = zipfile.ZipFile(io.BytesIO(client.get(job["results"]).content))
    assert archive.testzip() is None
    assert archive.namelist() == [
        "雨 photo-tiny.png",
        "photo-tiny.png",
        "photo-tiny-2.png",
        "y-tiny.jpg",  # it is a JPEG file, whatever its name says
        "failed.txt",
    ]
    assert archive.read("failed.txt").decode().count("\n") == 3
    assert client.delete(f"/api/jobs/{job['id']}").status_code == 204
    assert not list(tmp_path.rglob("*"))


def test_results_are_not_there_before_they_are_done(serve):
    gate = Gate()
    client = serve(gate)
    job = client.post("/api/jobs", content=png()).json()
    assert client.get(f"/api/jobs/{job['id']}/pictures/0").status_code == 409
    assert client.get(job["results"]).status_code == 409
    gate.sign.set()
    wait_for(client, job)
    assert client.get(f"/api/jobs/{job['id']}/pictures/0").content == png()


def test_a_job_has_no_more_pictures_than_the_queue(serve):
    client = serve(places=2)
    files = [("files", (f"{i}.png", png())) for i in range(3)]
    assert client.post("/api/jobs", files=files).status_code == 413
    assert client.post("/api/jobs", files=files[:2]).status_code == 202


def test_an_ending_server_takes_nothing_more(serve):
    client = serve(Gate())
    job = client.post("/api/jobs", content=png()).json()
    client.app.state.stop()
    assert client.get("/health").status_code == 503
    assert client.post("/api/derain", content=png()).status_code == 503
    assert client.get(f"/api/jobs/{job['id']}").status_code == 404


def test_an_unexpected_error_is_one_line_and_the_worker_goes_on(serve, offered, caplog):
    class Broken(Gate):
        def work(self, task, ticket):
            if len(task.data) < 100:
                raise ZeroDivisionError("secret")
            return super().work(task, ticket)

    client = serve(Broken(opened=True))
    answer = client.post("/api/derain", content=b"abc")
    assert answer.status_code == 500
    assert "\n" not in answer.json()["detail"]
    assert "ZeroDivisionError" in caplog.text
    assert client.post("/api/derain", content=png()).status_code == 200


def test_the_interface_describes_itself_and_counts(serve):
    client = serve()
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {
        "/health",
        "/metrics",
        "/api/methods",
        "/api/derain",
        "/api/view",
        "/api/jobs",
        "/api/jobs/{job}",
        "/api/jobs/{job}/pictures/{number}",
        "/api/jobs/{job}/results.zip",
        "/api/clips",
        "/api/clips/{clip}",
        "/api/clips/{clip}/result",
    }
    clip = described["paths"]["/api/clips"]["post"]
    assert {"multipart/form-data", "video/mp4"} <= set(clip["requestBody"]["content"])
    assert {each["name"] for each in clip["parameters"]} == {"method", "strength", "steady"}
    derain = described["paths"]["/api/derain"]["post"]
    assert {"multipart/form-data", "image/jpeg"} <= set(derain["requestBody"]["content"])
    assert {"200", "413", "422", "429", "504"} <= set(derain["responses"])
    assert {each["name"] for each in derain["parameters"]} == {"method", "strength"}
    methods = client.get("/api/methods").json()
    assert [each["name"] for each in methods["methods"]] == ["tiny"]
    assert methods["limits"]["upload_bytes"] == 100_000
    client.post("/api/derain", content=png())
    client.post("/api/derain", content=b"x")
    text = client.get("/metrics").text
    assert 'rainkit_pictures_total{method="tiny",outcome="done"} 1.0' in text
    assert 'rainkit_pictures_total{method="tiny",outcome="failed"} 1.0' in text
    assert 'rainkit_http_requests_total{path="/api/derain",status="422"} 1.0' in text
    assert "rainkit_pixels_total 1200.0" in text
    assert client.get("/docs").status_code == 404  # that page would load scripts from elsewhere


def test_the_page_may_load_nothing_from_elsewhere(serve):
    answer = serve().get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert "http:" not in answer.text.replace("http://www.w3.org", "")
    assert "https:" not in answer.text


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../a.png", "a.png"),
        ("..", "picture"),
        ("a\0b\n.png", "ab.png"),
        ("-rf.png", "-rf.png"),
        ("a" * 300 + ".jpeg", "a" * 90 + ".jpeg"),
        ("b" * 300, "b" * 90),
        ("x." + "y" * 300, "x.yyyyyyyyy"),
    ],
)
def test_names_of_clients_become_plain(given: str, kept: str):
    assert plain_name(given) == kept
