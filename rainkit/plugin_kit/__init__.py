"""The plugin kit: the files of a new plugin, and the conformance kit run on an installed method."""

from __future__ import annotations

from rainkit.plugin_kit.check import Checked, check
from rainkit.plugin_kit.new import create

__all__ = ["Checked", "check", "create"]
