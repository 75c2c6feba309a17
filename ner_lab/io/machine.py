"""How many cores there are for this process."""

import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def cores_at_hand(quota: Path = _QUOTA) -> int:
    """Cores this process may use: those it is bound to, or fewer where a container has a share of their time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        time, period = quota.read_text().split()
        return max(1, min(cores, int(time) // int(period)))
    except (OSError, ValueError):  # no such file, or no limit: "max 100000"
        return cores
