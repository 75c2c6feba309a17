"""Reads what an offline run of W&B wrote."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import wandb
from wandb.proto import wandb_internal_pb2


@dataclass
class ReadBack:
    """What an offline run holds."""

    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, Any] = field(default_factory=dict)
    exit_codes: list[int] = field(default_factory=list)


def records(path: Path) -> Iterator[Any]:
    """Protocol buffers in the blocks of a LevelDB log, after a header of 7 bytes."""
    raw, position, part = path.read_bytes(), 7, b""
    while position + 7 <= len(raw):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", raw, position)
        part += raw[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # complete, or the last piece
            record = wandb_internal_pb2.Record()
            record.ParseFromString(part)
            part = b""
            yield record


def named(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def read_back(folder: Path) -> ReadBack:
    """The one offline run of a run folder."""
    wandb.teardown()  # its own process writes the last records when it ends
    (path,) = (folder / "wandb").glob("offline-run-*/run-*.wandb")
    found = ReadBack()
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found.run = record.run
            found.config |= named(record.run.config.update)
        elif kind == "config":
            found.config |= named(record.config.update)
        elif kind == "history":
            row = named(record.history.item)
            found.rows.append(row)
            for name, value in row.items():
                found.curves.setdefault(name, []).append(value)
        elif kind == "summary":
            found.summary |= named(record.summary.update)
        elif kind == "artifact":
            found.artifacts[record.artifact.name] = record.artifact
        elif kind == "exit":
            found.exit_codes.append(record.exit.exit_code)
    return found
