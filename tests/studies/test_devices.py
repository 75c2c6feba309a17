"""What a job takes of the machine, and how GPUs are dealt out: never more than there are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from ner_lab.errors import UserError
from ner_lab.io.machine import available_cores
from ner_lab.studies.devices import GpuPool, Need, available_gpus, jobs_that_fit, need_of, usable_gpus


def config(threads: int | None = 1, **trainer: Any) -> DictConfig:
    return OmegaConf.create(
        {"threads": threads, "trainer": {"accelerator": "cpu", "devices": 1, "num_nodes": 1, **trainer}}
    )


# what a job takes


@pytest.mark.parametrize(
    ("trainer", "gpus", "need"),
    [
        ({}, [], (1, False)),
        ({}, ["0", "1"], (1, False)),
        ({"devices": 2}, [], (2, False)),
        ({"devices": "2"}, ["0"], (2, False)),
        ({"devices": "auto"}, ["0", "1"], (1, False)),
        ({"accelerator": "gpu"}, ["0", "1"], (1, True)),
        ({"accelerator": "cuda", "devices": 2}, ["0", "1", "2"], (2, True)),
        ({"accelerator": "gpu", "devices": "auto"}, ["0", "1", "2"], (3, True)),
        ({"accelerator": "gpu", "devices": -1}, ["0", "1"], (2, True)),
        ({"accelerator": "auto", "devices": 2}, ["0", "1"], (2, True)),
        ({"accelerator": "auto", "devices": 2}, [], (2, False)),
    ],
)
def test_a_job_takes_a_process_for_each_device_and_a_gpu_for_each_process(
    trainer: dict[str, Any], gpus: list[str], need: tuple[int, bool]
) -> None:
    processes, gpu = need
    assert need_of(config(**trainer), gpus) == Need(processes, 1, gpu)


def test_without_a_number_of_threads_a_job_takes_all_cores() -> None:
    assert need_of(config(threads=None), []).threads == available_cores()
    assert need_of(config(threads=3), []).threads == 3


@pytest.mark.parametrize(
    ("trainer", "gpus", "message"),
    [
        ({"accelerator": "gpu"}, [], r"no GPU to give.*hydra\.launcher\.gpus=\[0,1\].*trainer=cpu"),
        ({"accelerator": "gpu", "devices": 3}, ["0", "1"], r"devices=3, but hydra\.launcher\.gpus has 2: 0, 1"),
        ({"accelerator": "gpu", "devices": [0, 1]}, ["0", "1"], r"devices=\[0, 1\], but a sweep deals.*number"),
        ({"accelerator": "gpu", "devices": "0,1"}, ["0", "1"], "devices=0,1, but a sweep deals.*number"),
        ({"devices": 0}, [], "devices=0, but a sweep deals"),
        ({"devices": -3}, [], "devices=-3, but a sweep deals"),
        ({"devices": "many"}, [], "devices=many, but a sweep deals"),
        ({"devices": None}, [], "devices=None, but a sweep deals"),
        ({"devices": 1.5}, [], "devices=1.5, but a sweep deals"),
        ({"num_nodes": 2}, [], "num_nodes=2, but jobs of hydra/launcher=process stay on this machine"),
    ],
)
def test_what_cannot_be_dealt_out_is_refused(trainer: dict[str, Any], gpus: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        need_of(config(**trainer), gpus)


@pytest.mark.parametrize(
    ("processes", "threads", "cores", "jobs"), [(1, 1, 4, 4), (2, 1, 4, 2), (2, 2, 4, 1), (3, 1, 4, 1), (4, 4, 4, 1)]
)
def test_as_many_jobs_fit_as_the_cores_take_and_one_always(processes: int, threads: int, cores: int, jobs: int) -> None:
    assert jobs_that_fit(Need(processes, threads, False), cores) == jobs


# the GPUs at hand


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes this a machine with so many GPUs, or without the program that lists them."""

    def machine(gpus: int | None, visible: str | None = None, code: int = 0) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        if gpus is not None:
            lines = "".join(f"echo 'GPU {n}: NVIDIA H100 (UUID: GPU-{n})'; echo '  MIG 1g'; " for n in range(gpus))
            program = tmp_path / "nvidia-smi"
            program.write_text(f"#!/bin/sh\n{lines}exit {code}\n")
            program.chmod(0o755)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return machine


@pytest.mark.parametrize(
    ("gpus", "visible", "names"),
    [
        (2, None, ["0", "1"]),
        (0, None, []),
        (None, None, []),
        (4, "2,3", ["2", "3"]),
        (4, " 2 , 3", ["2", "3"]),
        (4, "", []),
        (4, "-1", []),
        (4, "1,-1,2", ["1"]),
        (4, "GPU-3,GPU-1", ["GPU-3", "GPU-1"]),
    ],
)
def test_the_gpus_at_hand_are_those_we_may_see(
    gpus: int | None, visible: str | None, names: list[str], machine: Callable[..., None]
) -> None:
    machine(gpus, visible)
    assert available_gpus() == usable_gpus(None) == names


def test_a_driver_that_does_not_answer_means_no_gpus(machine: Callable[..., None]) -> None:
    machine(2, code=9)
    assert available_gpus() == []


def test_gpus_may_be_named_within_what_we_may_see(machine: Callable[..., None]) -> None:
    machine(4)
    assert usable_gpus([0, 3]) == ["0", "3"]
    assert usable_gpus([]) == []
    machine(4, "2,3")
    assert usable_gpus([3]) == ["3"]
    with pytest.raises(UserError, match=r"hydra\.launcher\.gpus names 0, 1, but CUDA_VISIBLE_DEVICES allows 2, 3"):
        usable_gpus([0, 1, 2])
    machine(4, "")
    with pytest.raises(UserError, match="allows none"):
        usable_gpus([0])


# dealing


def test_each_process_gets_a_gpu_and_a_job_waits_while_there_are_too_few() -> None:
    pool = GpuPool([0, 1, 2])
    assert pool.acquire(2) == ["0", "1"]
    assert pool.acquire(2) is None
    assert pool.acquire(1) == ["2"]
    assert pool.acquire(1) is None
    pool.release(["0", "1"])
    assert pool.acquire(2) == ["0", "1"]


def test_several_jobs_share_a_gpu_where_that_is_asked_for_the_emptiest_first() -> None:
    pool = GpuPool([0, 1], jobs_per_gpu=2)
    assert [pool.acquire(1) for _ in range(5)] == [["0"], ["1"], ["0"], ["1"], None]
    pool.release(["1"])
    pool.release(["1"])
    assert pool.acquire(2) is None, "processes of one job have a GPU each"
    assert pool.acquire(1) == ["1"]


@pytest.mark.parametrize(
    ("gpus", "jobs", "message"),
    [([0, 1, "0"], 1, r"names one twice.*jobs_per_gpu"), ([0], 0, "jobs_per_gpu must be at least 1")],
)
def test_a_pool_that_cannot_be_is_refused(gpus: list[Any], jobs: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        GpuPool(gpus, jobs)


@settings(deadline=None, max_examples=40)
@given(st.data(), st.integers(1, 5), st.integers(1, 3))
def test_no_gpu_is_ever_given_to_more_jobs_than_it_has_room_for(
    data: st.DataObject, gpus: int, jobs_per_gpu: int
) -> None:
    pool = GpuPool(range(gpus), jobs_per_gpu)
    given_out: list[list[str]] = []
    for _ in range(40):
        if given_out and data.draw(st.booleans()):
            pool.release(given_out.pop(data.draw(st.integers(0, len(given_out) - 1))))
        number = data.draw(st.integers(1, gpus))
        taken = pool.acquire(number)
        used = [sum(str(gpu) in names for names in given_out) for gpu in range(gpus)]
        if taken is None:
            assert sum(count < jobs_per_gpu for count in used) < number, "a job waits only where there is no room"
            continue
        assert len(set(taken)) == number
        given_out.append(taken)
        assert all(sum(str(gpu) in names for names in given_out) <= jobs_per_gpu for gpu in range(gpus))
