"""Weights from the network: fetched once into the cache, and checked by their hash.

An address is ``https://HOST/PATH.safetensors`` or, for the Hugging Face hub,
``hf://OWNER/REPO[@REVISION]/PATH.safetensors``; ``#sha256=HEX`` behind it says which hash the file
has. The cache keeps files under their hash, and notes which address had which, so that a file that
is replaced at its address is noticed. Nothing is fetched unless it is asked for: by
``rainkit weights get``, or by a user whose setting ``offline`` is false.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from safetensors import SafetensorError, safe_open

from rainkit import config
from rainkit.errors import FileError, RainkitError, UsageError, WeightsError, one_line
from rainkit.files import alone_in, atomic_path, read_json, sha256, write_json

__all__ = ["Address", "Progress", "fetch", "is_address", "known_addresses", "local", "parse"]

Progress = Callable[[int, int | None], None]
"""Called with the number of bytes that have come, and that of all bytes if it is known."""

_HUB = re.compile(r"hf://([\w.-]+)/([\w.-]+?)(?:@([\w./-]+?))?/([^#?]+)")
_HASH = re.compile(r"[0-9a-f]{64}")
_SECONDS = 60.0
_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where a weights file can be fetched.

    Attributes:
        url: the address without a hash.
        sha256: hash of the file; None if nobody has said it.
    """

    url: str
    sha256: str | None = None

    @property
    def name(self) -> str:
        """Name of the file without its suffix."""
        return PurePosixPath(self.url.partition("?")[0]).stem

    def __str__(self) -> str:
        """Return the address as a user may write it."""
        return self.url if self.sha256 is None else f"{self.url}#sha256={self.sha256}"


def is_address(text: str) -> bool:
    """Return whether a text is meant to be an address and not a tag or a file."""
    return text.startswith(("hf://", "https://", "http://"))


def parse(text: str) -> Address:
    """Read an address.

    Raises:
        UsageError: it is none, or one of a file that is not safetensors.
    """
    url, _, given = text.partition("#")
    digest = given.removeprefix("sha256=").lower()
    if given and not (given.startswith("sha256=") and _HASH.fullmatch(digest)):
        raise UsageError(f"{text}: write #sha256= and 64 hexadecimal digits behind the address")
    if not url.startswith(("https://", "hf://")):
        raise UsageError(f"{text}: give an address that begins with https:// or hf://")
    if url.startswith("hf://") and _HUB.fullmatch(url) is None:
        raise UsageError(f"{text}: write hf://OWNER/REPO/FILE.safetensors")
    if not url.partition("?")[0].endswith(".safetensors"):
        raise UsageError(
            f"{text}: only .safetensors files are fetched; others may hold code. Fetch it by hand "
            "and make weights of it with rainkit weights import"
        )
    return Address(url=url, sha256=digest or None)


def local(address: Address) -> Path | None:
    """Return the file in the cache that an address had or has by its hash; None if none is there.

    Raises:
        WeightsError: the file in the cache is not what it was; it must be removed.
    """
    digest = address.sha256 or known_addresses().get(address.url)
    if digest is None:
        return None
    path = _place(address, digest)
    if not path.is_file():
        return None
    if (found := sha256(path)) != digest:
        raise WeightsError(
            f"{path}: its sha256 is {found[:16]}..., it should be {digest[:16]}...: remove it to "
            "fetch it again"
        )
    return path


def known_addresses() -> dict[str, str]:
    """Return the hash of each address that was fetched from before."""
    try:
        found = read_json(_index())
    except (FileError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(url): str(digest) for url, digest in found.items()}


def fetch(address: Address, on_progress: Progress | None = None) -> Path:
    """Fetch a file into the cache, unless it is there, and return it.

    Without a hash, the one that the file has now is noted, and is expected from then on.

    Raises:
        UsageError: the hub needs a package that is not installed.
        WeightsError: the file cannot be fetched, has another hash, or is no safetensors file.
        FileError: the cache cannot be written.
    """
    if (found := local(address)) is not None:
        return found
    folder = _folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=".rainkit-", dir=folder)
    except OSError as error:
        raise FileError(f"{folder}: cannot be written ({one_line(error)})") from error
    with scratch as inside:
        came = Path(inside) / "weights.safetensors"
        if address.url.startswith("hf://"):
            _from_hub(address, Path(inside), came)
        else:
            _from_web(address, came, on_progress)
        digest = sha256(came)
        expected = address.sha256 or known_addresses().get(address.url)
        if expected is not None and digest != expected:
            raise WeightsError(
                f"{address.url}: what came has the sha256 {digest}, and {expected} is expected; "
                "the file was changed at its address, or on the way"
            )
        try:
            with safe_open(came, framework="np"):
                pass
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{address.url}: is not a safetensors file") from error
        path = _place(address, digest)
        with atomic_path(path, overwrite=True) as temporary:
            shutil.copyfile(came, temporary)
    with alone_in(folder):
        write_json(_index(), known_addresses() | {address.url: digest})
    return path


def _from_web(address: Address, path: Path, on_progress: Progress | None) -> None:
    try:
        # The scheme is https: see parse. An address may hold spaces, as browsers show it.
        url = quote(address.url, safe="!#$%&'()*+,/:;=?@[]~")
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310
            size = answer.headers.get("Content-Length")
            total = int(size) if size and size.isdecimal() else None
            done = 0
            with path.open("wb") as file:
                while block := answer.read(_BLOCK):
                    done += file.write(block)
                    if on_progress is not None:
                        on_progress(done, total)
    except (OSError, HTTPException, ValueError) as error:  # the last two: no such host or port
        raise _unfetched(address, error) from error
    if total is not None and done != total:
        raise WeightsError(f"{address.url}: {done:,} of {total:,} bytes came; try again")


def _from_hub(address: Address, folder: Path, path: Path) -> None:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise UsageError(
            f"{address.url}: the Hugging Face hub needs a package: pip install huggingface_hub"
        ) from error
    parts = _HUB.fullmatch(address.url)
    if parts is None:  # parse has refused it
        raise UsageError(f"{address.url}: write hf://OWNER/REPO/FILE.safetensors")
    owner, repository, revision, name = parts.groups()
    try:
        came = hf_hub_download(
            f"{owner}/{repository}", name, revision=revision, local_dir=str(folder / "hub")
        )
        Path(came).replace(path)
    except Exception as error:  # the hub's client raises what its own libraries raise, too
        raise _unfetched(address, error) from error


def _unfetched(address: Address, error: Exception) -> RainkitError:
    return WeightsError(
        f"{address.url}: cannot be fetched ({one_line(error)}); or fetch it by hand and pass "
        "--weights FILE.safetensors"
    )


def _folder() -> Path:
    return config.cache_folder() / "weights"


def _index() -> Path:
    return _folder() / "addresses.json"


def _place(address: Address, digest: str) -> Path:
    return _folder() / f"{address.name}-{digest[:16]}.safetensors"
