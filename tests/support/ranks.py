"""Processes that train and score together, as the ranks of one run; forked, so that nothing is imported again."""

import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.utilities import rank_zero_only

# a process that has used a GPU cannot be forked
METHOD = "fork" if sys.platform == "linux" and not torch.cuda.is_available() else "spawn"


def on_ranks(world: int, folder: Path, work: Callable[..., Any], *arguments: Any, seconds: float = 60) -> list[Any]:
    """What `work(*arguments)` gives in each of `world` processes of one gloo group, in the order of ranks.

    folder: an empty one, for what they leave each other. An error of one, or a process that is not done within
    `seconds`, is an AssertionError, and ends them all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    context: Any = multiprocessing.get_context(METHOD)
    processes = [
        context.Process(target=_be, args=(rank, world, folder, work, arguments), daemon=True) for rank in range(world)
    ]
    for process in processes:
        process.start()
    end = time.monotonic() + seconds
    try:
        for rank, process in enumerate(processes):
            while process.is_alive() and time.monotonic() < end and not list(folder.glob("error-*")):
                process.join(0.05)
            errors = [path.read_text(encoding="utf-8") for path in folder.glob("error-*")]
            assert not errors, errors[0]
            assert not process.is_alive(), f"rank {rank} of {world} is not done after {seconds} s"
            assert process.exitcode == 0, f"rank {rank} of {world} ended with {process.exitcode}"
    finally:
        for process in processes:
            process.kill()
            process.join()
    return [torch.load(folder / f"result-{rank}", weights_only=False) for rank in range(world)]


def _be(rank: int, world: int, folder: Path, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """The life of a rank; its environment is that of a process which a launcher has started."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "NODE_RANK": 0}
    os.environ.update({name: str(value) for name, value in place.items()}, GLOO_SOCKET_IFNAME="lo")
    rank_zero_only.rank = rank
    try:
        store = f"file://{folder.resolve()}/store"
        torch.set_num_threads(1)
        torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
        torch.save(work(*arguments), folder / f"result-{rank}")
        torch.distributed.barrier()
    except BaseException:
        (folder / f"error-{rank}").write_text(f"rank {rank} of {world}:\n{traceback.format_exc()}", encoding="utf-8")
    os._exit(0)
