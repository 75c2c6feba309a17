"""`ner-lab train --resume DIR` and `ner-lab train --from DIR`: training with the config of a run folder.

As in `ner_lab.cli.train`, torch is not imported before the config is checked.
"""

import gc
import json
import logging.config
import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ner_lab.cli.app import config_dirs_of
from ner_lab.config.compose import (
    CONF_DIR,
    apply_overrides,
    check_words,
    find_conflicting_overrides,
    is_group,
    override_parser,
    quoted,
    readable,
    run_name_of,
)
from ner_lab.config.untrusted import check_server, from_stranger
from ner_lab.errors import UserError, invalid_value
from ner_lab.io.safe_read import resolve_inside
from ner_lab.runs.folder import RunFolder
from ner_lab.runs.provenance import code_sum, versions
from ner_lab.runs.state import read_metrics

log = logging.getLogger(__name__)

_RESUME, _FROM, _FOLDER = "--resume", "--from", "hydra.run.dir"
_TIMES = {"seconds", "tokens_per_second", "train_seconds", "data_seconds", "train_tokens_per_second"}
"""Figures of metrics.json that differ from one run to the next."""


def rerun_requested(arguments: Sequence[str]) -> Callable[[], Any] | None:
    """The action for `ner-lab train ARGUMENTS` if a run folder gives the config; None if Hydra composes it."""
    for option, action in ((_RESUME, resume), (_FROM, repeat)):
        for place, one in enumerate(arguments):
            if one == option or one.startswith(f"{option}="):
                split = one.startswith(f"{option}=")
                folder = one.partition("=")[2] if split else "".join(arguments[place + 1 : place + 2])
                rest = [*arguments[:place], *arguments[place + (1 if split else 2) :]]
                return partial(action, folder, rest)
    resumed = [one.partition("=")[2] for one in arguments if one.partition("=")[0].lstrip("+") == "resume"]
    if resumed:  # as it was spelt before
        others = [one for one in arguments if one.partition("=")[0].lstrip("+") != "resume"]
        return partial(resume, resumed[-1], others)
    return None


def resume(folder: str, others: Sequence[str] = ()) -> None:
    """Resume a stopped or killed training in its folder; do nothing if it is finished."""
    if others:
        raise UserError(
            f"--resume {folder} takes no other arguments (got {others[0]}): training resumes with its own config. "
            f"To train with other settings: ner-lab train --from {folder} {others[0]}"
        )
    run = _run_folder(f"--resume {folder}", folder)
    if run.is_finished():
        f1 = ((read_metrics(run) or {}).get("dev") or {}).get("f1")
        print(f"{run.path} is finished already" + (f": dev F1 {f1:.2f}" if f1 is not None else ""))
        return
    if (metrics := read_metrics(run)) is not None:
        raise UserError(
            f"--resume {folder}: {metrics.get('failure')} There is nothing to resume; train again with other "
            f"settings: ner-lab train --from {folder} KEY=VALUE"
        )
    record = run.read_record()
    cfg = run.read_config(trained=False)
    check_server(cfg, run.config)
    run.refuse_old_state()
    _train(cfg, run.path, record["choices"], record["overrides"])


def repeat(source: str, overrides: Sequence[str] = ()) -> None:
    """Rerun the experiment of a run folder in a new folder, with `overrides` applied."""
    run = _run_folder(f"{_FROM} {source}", source)
    record = run.read_record()
    choices = dict(record["choices"])
    cfg, reset = from_stranger(run.read_config(trained=False))
    config_dirs, others = config_dirs_of(overrides)
    if flags := [one for one in others if one.startswith("-")]:
        raise UserError(
            f"{flags[0]} does not go with {_FROM}, which takes KEY=VALUE and --config-dir DIR, for one run."
        )
    given = [one for one in readable(others) if not one.startswith(f"{_FOLDER}=")]
    folders = [one for one in others if one.startswith(f"{_FOLDER}=")]
    if papers := [one for one in given if one.startswith("paper=")]:
        raise UserError(
            f"{papers[0]}: the config of a run already includes its paper. Train the paper: ner-lab train {papers[0]}"
        )
    for twice in find_conflicting_overrides(given):
        log.warning("%s", twice)
    was_named = run_name_of(choices)
    choices = apply_overrides(cfg, given, config_dirs, choices)
    keys = [one.lstrip("+~").partition("=")[0] for one in given]
    if "run_name" not in keys and cfg.run_name == was_named:
        cfg.run_name = run_name_of(choices)
    reset = [one for one in reset if not any(f"{one}.".startswith(f"{key}.") for key in keys)]
    folder = (_folder_of(folders[-1], cfg) if folders else _new_folder(cfg)).absolute()
    # processes of a distributed run start with the same arguments and must find the same folder
    sys.argv = [
        sys.argv[0],
        *(one for one in sys.argv[1:] if not one.startswith(_FOLDER)),
        f"{_FOLDER}={quoted(str(folder))}",
    ]
    # overrides of a part that is replaced no longer apply
    replaced = [key for key in keys if is_group(key, config_dirs)]
    before = [one for one in record["overrides"] if re.split("[@.=]", one.lstrip("+~"))[0] not in replaced]
    words = [*before, *given]
    metrics = _train(cfg, folder, choices, words, before=lambda: _name_differences(run, record, reset))
    then = read_metrics(run)
    if metrics and then is not None and not given:
        _compare(then, metrics, run.path)


def _run_folder(asked: str, folder: str) -> RunFolder:
    run = RunFolder(folder)
    if not folder or not run.path.is_dir():
        raise UserError(f"{asked}: no such folder. Give the folder of a run, outputs/.../seed=1/...")
    for file in (run.config, run.record):
        if not file.is_file():
            raise UserError(
                f"{asked}: no {file.name} there, so it is not the folder of a run, or of one that never began."
            )
    return run


def _folder_of(override: str, cfg: DictConfig) -> Path:
    """The folder of `hydra.run.dir=DIR`, where DIR may refer to config keys."""
    check_words([override])
    value = override_parser()([override])[0].value()
    place = OmegaConf.merge(cfg, OmegaConf.create({"hydra": {"run": {"dir": value}}}))
    return Path(str(OmegaConf.select(place, _FOLDER)))


def _new_folder(cfg: DictConfig) -> Path:
    """The default folder of `ner-lab train`."""
    place = Path(str(cfg.run_name))
    if place.is_absolute() or ".." in place.parts:
        raise invalid_value(
            "run_name", cfg.run_name, "a folder within outputs/", "For another, give hydra.run.dir=DIR."
        )
    return Path("outputs") / place / f"seed={cfg.seed}" / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"


def _train(
    cfg: DictConfig,
    folder: Path,
    choices: Mapping[str, str],
    overrides: Sequence[str],
    before: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    _log_to(folder)
    before()
    from ner_lab.training.train import train

    gc.freeze()  # imported objects are never freed, so no collection needs to scan them
    return train(cfg, folder, f"{cfg.run_name}/seed={cfg.seed}", choices, overrides)


def _log_to(folder: Path) -> None:
    """Log as Hydra does, to the terminal and to train.log."""
    config: Any = OmegaConf.to_container(
        OmegaConf.load(CONF_DIR / "hydra" / "job_logging" / "ner_lab.yaml"), resolve=False
    )
    rank = int(os.environ.get("LOCAL_RANK", 0))
    name = f"train_ddp_process_{rank}.log" if rank else "train.log"
    config["handlers"]["file"]["filename"] = str(resolve_inside(folder / name, folder))
    logging.config.dictConfig(config)


def _name_differences(run: RunFolder, record: Mapping[str, Any], reset: Sequence[str]) -> None:
    """Report how the environment differs from that of the run, and which settings are not taken over (`reset`)."""
    if reset:
        log.warning(
            "not taken over from %s, which may be anybody's: %s. Where they are yours, give them as KEY=VALUE.",
            run.path,
            ", ".join(reset),
        )
    then, now = record.get("versions", {}), versions()
    others = [
        f"{name} {now.get(name, 'not installed')} (then {then.get(name, 'not installed')})"
        for name in {**then, **now}
        if then.get(name) != now.get(name)
    ]
    others += ["the code of ner_lab"] if record.get("code") != code_sum() else []
    if others:
        log.warning("not as when %s was trained: %s. The numbers may differ.", run.path, ", ".join(others))


def _compare(then: Mapping[str, Any], now: Mapping[str, Any], source: Path) -> None:
    """Report whether the rerun gave the same numbers."""
    changed = [
        name
        for name, file in (then.get("sources") or {}).items()
        if file["sha256"] != now["sources"].get(name, {}).get("sha256")
    ]
    for name in changed:
        log.warning(
            "%s is not the file that %s was trained with: %s", name, source, now["sources"].get(name, {}).get("path")
        )
    others = list(_differences(_lasting(then), _lasting(now)))
    if others:
        shown = "; ".join(others[:3]) + ("; ..." if len(others) > 3 else "")
        log.warning("\nnot the numbers of %s: %d of metrics.json differ: %s", source, len(others), shown)
    else:
        log.info("\nall numbers are those of %s, to the last digit", source)


def _lasting(value: Any) -> Any:
    """Values of metrics.json that depend neither on time nor on file locations."""
    if isinstance(value, Mapping):
        return {name: _lasting(one) for name, one in value.items() if name not in _TIMES and name != "sources"}
    return [_lasting(one) for one in value] if isinstance(value, list) else value


def _differences(then: Any, now: Any, place: str = "") -> Any:
    """Each difference between two metrics.json trees: `history.3.train_loss: 0.1 -> 0.2`."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for name in {**then, **now}:
            yield from _differences(then.get(name), now.get(name), f"{place}.{name}".lstrip("."))
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for number, pair in enumerate(zip(then, now, strict=True), start=1):
            yield from _differences(*pair, f"{place}.{number}")
    elif json.dumps(then) != json.dumps(now) and not (_is_nan(then) and _is_nan(now)):
        yield f"{place}: {_short(then)} -> {_short(now)}"


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 30 else text[:27] + "..."
