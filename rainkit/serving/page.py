"""The page that people see."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass

from markupsafe import Markup

import rainkit
from rainkit.render.html import render
from rainkit.serving.jobs import Limits
from rainkit.serving.work import Offer

__all__ = ["Page", "Rendered", "page"]

_PACKAGE = "rainkit.render"


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """What the page shows.

    Attributes:
        offers: what users may choose; the first is the default.
        limits: what they may use.
        strongest: largest strength.
        clips: whether clips are taken.
        needs_token: whether requests need a token, which the page then asks for.
    """

    offers: tuple[Offer, ...]
    limits: Limits
    strongest: float
    clips: bool
    needs_token: bool


@dataclass(frozen=True, slots=True)
class Rendered:
    """The page as it is sent.

    Attributes:
        html: its text.
        policy: its Content-Security-Policy: its own script, nothing from elsewhere.
    """

    html: str
    policy: str


def page(shown: Page) -> Rendered:
    """Return the page; it loads nothing but what its user sends."""
    script = render(_PACKAGE, "serve.js.j2").strip()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    settings = {
        "upload_bytes": shown.limits.upload_bytes,
        "clip_bytes": shown.limits.clip_bytes if shown.clips else None,
        "needs_token": shown.needs_token,
    }
    html = render(
        _PACKAGE,
        "serve.html.j2",
        page=shown,
        settings=json.dumps(settings),
        script=Markup(script),  # noqa: S704  (our own file)
        version=rainkit.__version__,
    )
    policy = (
        f"default-src 'none'; img-src blob: data:; media-src blob:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    return Rendered(html, policy)
