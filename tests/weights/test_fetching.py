"""Weights from the network, which tests only pretend to have."""

from __future__ import annotations

import dataclasses
import io
import sys
import types
import urllib.request
from email.message import Message
from pathlib import Path
from urllib.error import URLError

import pytest

from rainkit import weights
from rainkit.api import Method, Weights
from rainkit.errors import UsageError, WeightsError
from rainkit.evaluation.methods import split_label
from rainkit.files import sha256
from rainkit.weights import fetching
from rainkit.weights.verifying import verify

HUB = "hf://somebody/derain/nets/tiny.safetensors"
WEB = "https://example.org/tiny.safetensors"


class Network:
    """What answers instead of the network: files by their address, and what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []

    def open(self, url: str, timeout: float) -> io.BytesIO:
        assert timeout > 0
        self.asked.append(url)
        if url not in self.files:
            raise URLError("no route to host")
        answer = io.BytesIO(self.files[url])
        answer.headers = Message()  # type: ignore[attr-defined]
        answer.headers["Content-Length"] = str(len(self.files[url]))  # type: ignore[attr-defined]
        return answer

    def download(self, repo_id: str, name: str, *, revision: str | None, local_dir: str) -> str:
        at = f"@{revision}" if revision else ""
        url = f"hf://{repo_id}{at}/{name}"
        self.asked.append(url)
        if url not in self.files:
            raise RuntimeError("404 Client Error\nEntry not found")
        path = Path(local_dir) / name
        path.parent.mkdir(parents=True)
        path.write_bytes(self.files[url])
        return str(path)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Network:
    """A network without files, and an empty cache."""
    made = Network()
    monkeypatch.setattr(urllib.request, "urlopen", made.open)
    hub = types.ModuleType("huggingface_hub")
    hub.hf_hub_download = made.download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    monkeypatch.setenv("RAINKIT_CACHE", str(tmp_path / "cache"))
    return made


@pytest.fixture
def content(tiny_weights: Path) -> bytes:
    """The bytes of a weights file."""
    return tiny_weights.read_bytes()


def _declaring(method: Method, path: Path, url: str) -> Method:
    declared = Weights(
        tag="far", variant="default", sha256=sha256(path), url=url, licence="MIT",
        trained_on="nothing", recipe="none",
    )  # fmt: skip
    return dataclasses.replace(method, weights=(declared,))


@pytest.mark.parametrize("url", [HUB, WEB, "hf://a/b@v1.0/c.safetensors"])
def test_an_address_is_fetched_once_and_then_taken_by_name(
    network: Network, content: bytes, tiny_method: Method, url: str
):
    network.files[url] = content
    with pytest.raises(
        WeightsError, match=f"is not here yet; fetch it by `rainkit weights get {url}"
    ):
        weights.find(tiny_method, url)
    assert not network.asked, "offline by default"
    (got,) = weights.get(url)
    assert (got.fetched, got.method, got.path.read_bytes()) == (True, "tiny", content)
    (again,) = weights.get(url)
    assert (again.fetched, again.path) == (False, got.path)
    assert network.asked == [url]
    assert weights.find(tiny_method, url).path == got.path
    assert weights.find(tiny_method, f"{url}#sha256={got.sha256}").path == got.path
    assert verify(url)[0].problem is None


def test_what_a_plugin_declares_is_fetched_when_it_may_be(
    network: Network,
    content: bytes,
    tiny_method: Method,
    tiny_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    network.files[WEB] = content
    method = _declaring(tiny_method, tiny_weights, WEB)
    with pytest.raises(WeightsError, match=r"^tiny\.far: is not here yet; .*set offline false"):
        weights.find(method)
    monkeypatch.setenv("RAINKIT_OFFLINE", "0")
    assert weights.find(method).name == "tiny.far"
    assert network.asked == [WEB]
    monkeypatch.delenv("RAINKIT_OFFLINE")
    assert weights.find(method).sha256 == sha256(tiny_weights)


def test_another_hash_is_refused_and_leaves_nothing(
    network: Network, content: bytes, tmp_path: Path
):
    network.files[HUB] = content
    with pytest.raises(WeightsError, match=r"and 0000.* is expected; the file was changed"):
        weights.get(f"{HUB}#sha256={'0' * 64}")
    assert not list((tmp_path / "cache").rglob("*.safetensors"))
    (got,) = weights.get(HUB)
    got.path.unlink()
    network.files[HUB] = content[:-1] + b"x"
    with pytest.raises(WeightsError, match=f"and {got.sha256} is expected"):
        weights.get(HUB)


def test_a_file_that_was_changed_in_the_cache_is_noticed(
    network: Network, content: bytes, tiny_method: Method
):
    network.files[HUB] = content
    (got,) = weights.get(HUB)
    got.path.write_bytes(b"something else")
    with pytest.raises(WeightsError, match="remove it to fetch it again"):
        weights.find(tiny_method, HUB)


@pytest.mark.parametrize("url", [HUB, WEB])
def test_what_cannot_be_fetched_is_one_line(network: Network, url: str):
    with pytest.raises(WeightsError, match=f"^{url}: cannot be fetched") as caught:
        weights.get(url)
    assert "\n" not in str(caught.value)
    network.files[url] = b"<html>not found</html>"
    with pytest.raises(WeightsError, match="is not a safetensors file"):
        weights.get(url)


@pytest.mark.parametrize("host", ["exa mple.org", "[x", "localhost:ab"])
def test_an_address_without_a_proper_host_is_one_line(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def unreachable(*_: object) -> None:
        raise OSError("no such host")

    monkeypatch.setattr("socket.getaddrinfo", unreachable)
    monkeypatch.setenv("RAINKIT_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="cannot be fetched"):
        weights.get(f"https://{host}/net.safetensors")


def test_an_address_may_be_as_a_browser_shows_it(network: Network, content: bytes):
    network.files["https://example.org/z%C3%A9ro%20rain.safetensors?download=true"] = content
    (got,) = weights.get("https://example.org/zéro rain.safetensors?download=true")
    assert got.path.name.startswith("zéro rain-")


def test_the_hub_needs_its_package(network: Network, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match="pip install huggingface_hub"):
        weights.get(HUB)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http://example.org/a.safetensors", "begins with https:// or hf://"),
        ("hf://somebody/a.safetensors", "write hf://OWNER/REPO/FILE.safetensors"),
        ("hf://somebody/derain/net.pth", "others may hold code"),
        ("https://example.org/net.pth?as=a.safetensors", "others may hold code"),
        (f"{HUB}?download=true", "write hf://OWNER/REPO/FILE.safetensors"),
        (f"{HUB}#sha256=12", "64 hexadecimal digits"),
        (f"{HUB}#{'0' * 64}", "64 hexadecimal digits"),
    ],
)
def test_an_address_that_is_none_is_refused(text: str, told: str):
    with pytest.raises(UsageError, match=told):
        fetching.parse(text)


def test_an_at_sign_in_an_address_begins_no_label():
    assert split_label("tiny=hf://a/b@v1/c.safetensors") == ("tiny=hf://a/b@v1/c.safetensors", "")
    assert split_label(f"tiny={HUB}@mine") == (f"tiny={HUB}", "mine")


def test_commands_list_and_get(network: Network, content: bytes, rainkit, tiny_method: Method):
    network.files[HUB] = content
    code, out, _ = rainkit("weights", "get", HUB, "granet")
    assert (code, f"{HUB}: fetched" in out, "granet.rain-v5: is here" in out) == (0, True, True)
    code, out, err = rainkit("weights", "list")
    assert code == 0, err
    row = next(line for line in out.splitlines() if line.startswith(HUB))
    assert "fetched" in row
    assert "granet.rain-v5 (default)" in out
    code, out, _ = rainkit("weights", "list", "granet", "--json")
    assert (code, HUB in out, '"where": "package"' in out) == (0, False, True)
    code, _, err = rainkit("weights", "get", "granet.rain-v9")
    assert (code, "it has: rain-v5, rain-v6, rain-v2, rain-v1" in err) == (2, True)
    weights.get(HUB)[0].path.write_bytes(b"something else")
    for how in ((), ("--json",)):
        code, out, err = rainkit("weights", "list", *how)
        assert (code, "remove it to fetch it again" in out + err) == (1, True)


def test_infer_names_what_to_do(network: Network, content: bytes, rainkit, tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"")
    asked = ("infer", tmp_path / "a.png", "--weights", HUB, "-o", tmp_path / "out")
    code, _, err = rainkit(*asked)
    assert (code, f"fetch it by `rainkit weights get {HUB}`" in err) == (1, True)
    network.files[HUB] = content
    weights.get(HUB)
    _, _, err = rainkit(*asked)
    assert "using tiny, the method of the weights" in err
