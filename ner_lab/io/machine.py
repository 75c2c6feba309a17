"""The number of CPU cores available to this process."""

import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def available_cores(quota: Path = _QUOTA) -> int:
    """Number of CPU cores this process may use: its CPU affinity, capped by the container's CPU quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        time, period = quota.read_text().split()
        return max(1, min(cores, int(time) // int(period)))
    except (OSError, ValueError):  # no such file, or no limit: "max 100000"
        return cores
