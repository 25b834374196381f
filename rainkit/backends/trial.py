"""The process that converts networks in idle time: ``python -m rainkit.backends.trial JOB``.

It writes to standard output, as JSON, the backends that cannot run the network, and the reasons.
The converted networks are in the cache. It ends when its standard input is closed, which is when
the run that has started it ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch

from rainkit import networks, plugins
from rainkit import weights as weight_files
from rainkit.backends import execute
from rainkit.errors import RainkitError, one_line
from rainkit.precision import choose_runtime

__all__ = ["convert_all", "main"]


def convert_all(job: Mapping[str, Any]) -> dict[str, str]:
    """Convert a network for backends and prove the conversions, into the cache.

    Args:
        job: ``method``, ``weights`` (the file), ``precision``, ``backends`` and ``threads``.

    Returns:
        The backends that cannot run the network, with the reasons.
    """
    torch.set_num_threads(job["threads"])
    method = plugins.get(job["method"])
    file = weight_files.find(method, job["weights"])
    spec = method.image(file.network)
    loaded = weight_files.load(networks.build(method, file.network), file)
    runtime = choose_runtime("cpu", job["precision"], spec)
    network = networks.prepare(loaded, spec, runtime, folded=True)
    refused = {}
    for backend in job["backends"]:
        try:
            execute.converted(network, backend, execute.identity(method, file.network))
        except RainkitError as error:
            refused[backend] = one_line(error)
    return refused


def main() -> None:
    """Take only idle time, convert, and write the answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, with which this ends
    _take_idle_time()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # What converters print must not reach the answer.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with answer:
        json.dump(convert_all(json.loads(sys.argv[1])), answer)


def _take_idle_time() -> None:
    with suppress(OSError):
        if sys.platform == "linux":
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        elif hasattr(os, "nice"):
            os.nice(19)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
