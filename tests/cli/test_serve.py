"""What `rainkit serve` refuses before it serves."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

import pytest


def test_without_its_extra_it_names_the_remedy(rainkit, monkeypatch: pytest.MonkeyPatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "uvicorn" else found(name)
    )
    code, out, err = rainkit("serve")
    assert (code, out) == (2, "")
    assert "(uvicorn): pip install fastapi" in err


def test_what_cannot_be_served_is_one_line(rainkit, tiny_method, tiny_weights: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        named = ("serve", "-q", "-m", f"tiny={tiny_weights}")
        for options, words in (
            (("--port", port), f"--port {port}: cannot listen there"),
            (("--host", "no.such.host.invalid"), "no such address"),
            (("--token", "short"), "--token: give at least 16 characters"),
            (("--token", "short" + " " * 20), "--token: give at least 16 characters"),
            (("--token", "für-niemanden-als-mich"), "signs of ASCII, without spaces"),
            (("-m", f"tiny={tiny_weights}@a", "-m", f"tiny={tiny_weights}@a"), "two are called a"),
            (("-m", "tinny"), "tinny"),
        ):
            code, out, err = rainkit(*named, *options)
            assert (code, out) == (2, "")
            assert words in err
            assert err.count("\n") == 1
