"""One real server: 50 uploads at a time with garbage among them, time limits, and its end."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from safetensors.numpy import save_file

from rainkit import images
from rainkit.images import Picture

SLEEPY = """
import os
import time
from torch import nn
from rainkit.objective import Derained

class Net(nn.Module):
    def __init__(self, settings):
        super().__init__()
        self.last = nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")

    def forward(self, rainy):
        width = rainy.shape[-1]
        if width == 101:
            time.sleep(1000)
        if width == 102:
            os.kill(os.getpid(), 9)
        if width == 103:
            time.sleep(1)
        return Derained(rainy / 2, {})
"""


def png(width: int, height: int = 40, seed: int = 0) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    return images.encode(Picture(np.asarray(cv2.resize(coarse, (width, height)), np.uint8)), ".png")


def bomb() -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1_000_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def worker_of(pid: int) -> psutil.Process:
    """Return the process that derains, once it is there."""
    while True:
        for each in psutil.Process(pid).children():
            with suppress(psutil.Error):
                if "spawn_main" in " ".join(each.cmdline()):
                    return each
        time.sleep(0.05)


class Served:
    """The process, and its address."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        process.stdout.readline()  # loading the network
        line = process.stdout.readline()
        assert "serving at http://127.0.0.1:" in line, line + process.stdout.read()
        self.port = int(line.rsplit(":", 1)[1].strip("/\n"))

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=900)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@pytest.fixture
def served(odd_plugin, tmp_path: Path):
    project = odd_plugin("two small convolutions", "half, and sleep").path
    (project / "rainkit_odd" / "network.py").write_text(SLEEPY)
    state = {
        "last.weight": np.zeros((3, 3, 3, 3), np.float32),
        "last.bias": np.zeros(3, np.float32),
    }
    header = {"method": "odd", "variant": "default", "api": "2", "network": '{"width": 4}'}
    weights = tmp_path / "odd.safetensors"
    save_file(state, weights, header)
    folder = tmp_path / "here"
    folder.mkdir()
    path = os.pathsep.join(filter(None, (str(project), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "rainkit", "serve", "-m", f"odd={weights}@halves"]
    options = ["--port=0", "--device=cpu", "--timeout=3", "--max-pixels=1", "--max-upload=0.2"]
    process = subprocess.Popen(
        [*command, *options, "--work-size=full"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path, "TMPDIR": str(folder), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Served(process), folder
    finally:
        process.kill()
        process.communicate()


def test_a_server_bears_what_is_thrown_at_it_and_ends_cleanly(served):
    server, folder = served
    good, jpeg = png(64), images.encode(Picture(np.full((50, 70, 3), 90, np.uint8)), ".jpg")
    kinds: list[tuple[bytes, int]] = [
        (good, 200),
        (jpeg, 200),
        (good[: len(good) // 2], 422),
        (jpeg[:-40], 422),
        (b"MZ\x90\0 a program", 422),
        (b"", 422),
        (bomb(), 422),
        (bytes(300_000), 413),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422),
        (os.urandom(5000), 422),
    ]
    with ThreadPoolExecutor(50) as threads:
        sent = [(body, status) for _ in range(5) for body, status in kinds]
        answers = [threads.submit(server.ask, "POST", "/api/derain", body) for body, _ in sent]
        assert server.ask("GET", "/health")[0] == 200  # while they are worked on
        got = [answer.result() for answer in answers]
    assert [status for status, _ in got] == [status for _, status in sent]
    results = {body for status, body in got if status == 200}
    assert len(results) == 2
    halves = images.decode(got[0][1], "a").rgb
    np.testing.assert_allclose(halves, images.decode(good, "a").rgb / 2, atol=0.51)

    # A process that dies, or that takes too long, is replaced; the others wait and are answered.
    with ThreadPoolExecutor(3) as threads:
        died = threads.submit(server.ask, "POST", "/api/derain", png(102))
        assert died.result()[0] == 500
        late = threads.submit(server.ask, "POST", "/api/derain", png(101))
        then = threads.submit(server.ask, "POST", "/api/derain", png(103))
        assert late.result()[0] == 504
        assert then.result()[0] == 200
    metrics = server.ask("GET", "/metrics")[1].decode()
    assert "rainkit_workers_lost_total 2.0" in metrics
    assert "rainkit_memory_bytes 0.0" in metrics

    # One that died while it was idle costs no picture.
    worker = worker_of(server.process.pid)
    worker.kill()
    while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.05)
    answered = server.ask("POST", "/api/derain", good)
    assert answered[0] == 200, answered[1]

    # SIGTERM: what is in hand is finished, and what is arriving is not waited for.
    half = socket.create_connection(("127.0.0.1", server.port))
    half.sendall(
        b"POST /api/derain HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\nhalf"
    )
    answer: list[tuple[int, bytes]] = []
    asking = threading.Thread(
        target=lambda: answer.append(server.ask("POST", "/api/derain", png(103)))
    )
    asking.start()
    while b'"running":1' not in server.ask("GET", "/health")[1] and not answer:
        time.sleep(0.05)
    server.process.send_signal(signal.SIGTERM)
    said, _ = server.process.communicate(timeout=300)
    asking.join()
    assert answer[0][0] == 200
    assert b" 503 " in half.recv(1000)
    half.close()
    assert server.process.returncode == 0, said
    assert "ended: 13 pictures derained, 32 failed" in said
    assert "Traceback" not in said
    assert not list(folder.iterdir())
