"""What a process learns of its machine: processors, memory, load, and the energy of a GPU."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import rainkit

__all__ = [
    "described",
    "energy_counter",
    "peak_resident",
    "pin",
    "processor_name",
    "resident",
    "trim",
]

_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def described() -> dict[str, Any]:
    """Return date, versions, system and load, for the table and its file."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    driver = _driver()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "rainkit": rainkit.__version__,
        "torch": metadata.version("torch"),
        "python": platform.python_version(),
        **({"driver": driver} if driver else {}),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load": None if load is None else round(load, 2),
    }


def _driver() -> str | None:
    """Return the version of NVIDIA's driver; None if there is none."""
    try:
        told = Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        return None
    found = re.search(r"Kernel Module(?: for \S+)?\s+([\d.]+)", told)
    return found[1] if found else None


def pin(threads: int) -> tuple[int, ...]:
    """Keep this process on as many CPUs as it has threads: on cores of their own, the idlest first.

    Returns:
        The numbers of the CPUs; empty if the system cannot do it.
    """
    if sys.platform != "linux":
        return ()
    allowed = sorted(os.sched_getaffinity(0))
    if threads < len(allowed):
        import psutil

        busy = psutil.cpu_percent(interval=0.1, percpu=True)
        order = [(_sibling(cpu), round(busy[cpu] / 25) if cpu < len(busy) else 0, cpu)
                 for cpu in allowed]  # fmt: skip
        allowed = sorted(cpu for *_, cpu in sorted(order)[:threads])
    try:
        os.sched_setaffinity(0, allowed)
    except OSError:
        return ()
    return tuple(allowed)


def _sibling(cpu: int) -> int:
    """Return which of its core's hardware threads a CPU is, from 0 on."""
    try:
        listed = Path(_TOPOLOGY.format(cpu)).read_text().strip()
    except OSError:
        return 0
    siblings: list[int] = []
    for part in listed.split(","):
        first, _, last = part.partition("-")
        siblings += range(int(first), int(last or first) + 1)
    return siblings.index(cpu) if cpu in siblings else 0


def processor_name() -> str:
    """Return the name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "cpu"


def trim() -> None:
    """Give memory that is not used back to the system."""
    gc.collect()
    if sys.platform == "linux":
        give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if give_back is not None:
            give_back(0)


def resident() -> float | None:
    """Return the resident memory of this process in bytes; None if the system does not tell."""
    return _status("VmRSS")


def peak_resident() -> Callable[[], float | None]:
    """Forget the peak of the resident memory; return a function that gives the new one in bytes.

    It gives None if the system does not tell.
    """
    try:
        # Linux: resets the process's own high-water mark, VmHWM, to its present size.
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return lambda: None
    return lambda: _status("VmHWM")


def _status(key: str) -> float | None:
    """Return a size in bytes from /proc/self/status."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name == key:
            return float(value.split()[0]) * 1024
    return None


def energy_counter(uuid: str) -> Callable[[], float] | None:
    """Return a function that gives the joules a GPU has used since its driver was loaded.

    Args:
        uuid: the GPU's identifier, as CUDA tells it.

    Returns:
        The function; None if there is no NVML, or the GPU does not count its energy.
    """
    try:
        nvml: Any = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    except OSError:
        return None
    handle, spent = ctypes.c_void_p(), ctypes.c_ulonglong()
    name = (uuid if uuid.startswith("GPU-") else f"GPU-{uuid}").encode()
    if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetHandleByUUID(name, ctypes.byref(handle)):
        return None

    def joules() -> float:
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(spent))
        return spent.value / 1e3

    known = nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(spent)) == 0
    return joules if known else None
