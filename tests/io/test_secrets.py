"""No secret lands in logs, configs, records or what W&B is sent."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sample import Outcome
from wandb_server_for_tests import KEY, WandbServer

from ner_lab.errors import UserError
from ner_lab.io.secrets import RedactingFormatter, print_exception, redacted, refuse_secrets
from ner_lab.tracking.wandb.process import end_process

CANARIES = {
    "AWS_SECRET_ACCESS_KEY": "canary-aws/0b1c2d",
    "HF_TOKEN": "canary-hf-4d5e6f",
    "DB_PASSWORD": "canary-db pass word",
    "SOME_CREDENTIALS": "canary-credential",
    "my_private_passphrase": "canary-passphrase",
}
PROXY_WORD = "canary-proxy"
GIT_WORD = "canary-remote"


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CANARIES.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://user:word@example.org/a?b", "https://***@example.org/a?b"),
        ("fetched HTTP://word@example.org, and ftp://u:p@h", "fetched HTTP://***@example.org, and ftp://***@h"),
        ("https://u:p@ss@example.org", "https://***@example.org"),
        ("logger.base_url='https://u:p@h' next", "logger.base_url='https://***@h' next"),
        ("https://example.org/a@b, me@example.org", "https://example.org/a@b, me@example.org"),
        ("file:///tmp/a@b", "file:///tmp/a@b"),
        ("canary-aws/0b1c2d (canary-hf-4d5e6f)", "*** (***)"),
        ("a canary-db pass word.", "a ***."),
    ],
)
@pytest.mark.usefixtures("secrets")
def test_credentials_and_secrets_are_taken_out_of_a_text(text: str, expected: str) -> None:
    assert redacted(text) == expected


def test_values_that_are_no_secrets_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "TOKENIZERS_PARALLELISM": "false",  # short
        "KEYRING_DIR": str(tmp_path),  # a place
        "HOME_PAGE": "canary-homepage",  # not named like one
        "EMPTY_TOKEN": "",
    }.items():
        monkeypatch.setenv(name, value)
    text = f"false {tmp_path}/data canary-homepage"
    assert redacted(text) == text
    refuse_secrets({"data": {"dir": f"{tmp_path}/data"}})


@pytest.mark.usefixtures("secrets")
def test_the_longer_of_two_secrets_goes_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_TOKEN", "canary-hf-4d5e6f-longer")
    assert redacted("canary-hf-4d5e6f-longer") == "***"


@pytest.mark.usefixtures("secrets")
def test_logs_and_last_words_hold_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    formatter = RedactingFormatter("%(levelname)s %(message)s")
    try:
        raise ValueError("no access with canary-hf-4d5e6f at https://u:p@h")
    except ValueError as error:
        trace = sys.exc_info()
        record = logging.LogRecord("a", logging.INFO, "f", 1, "token %s", ("canary-hf-4d5e6f",), trace)
        print_exception(type(error), error, error.__traceback__)
    written = formatter.format(record)
    assert written.startswith("INFO token ***\n")
    for text in (written, capsys.readouterr().err):
        assert "ValueError: no access with *** at https://***@h" in text
        assert "canary" not in text


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"logger": {"base_url": "https://u:word@h"}}, r"^logger\.base_url has a user name or password"),
        ({"data": {"downloads": [{"url": "https://word@h/x"}]}}, r"^data\.downloads\[0\]\.url has a user name"),
        ({"a": {"b": "x canary-hf-4d5e6f y"}}, r"^a\.b has the value of the environment variable HF_TOKEN"),
    ],
)
@pytest.mark.usefixtures("secrets")
def test_a_config_that_holds_a_secret_is_refused_without_showing_it(config: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        refuse_secrets(config)
    assert "word@" not in str(raised.value)
    assert "canary" not in str(raised.value)


def every_byte(folder: Path) -> bytes:
    return b"\n".join(
        str(file.relative_to(folder)).encode() + b"\n" + (file.read_bytes() if file.is_file() else b"")
        for file in sorted(folder.rglob("*"))
    )


@pytest.mark.usefixtures("secrets")
def test_a_training_leaves_no_secret_anywhere(
    cli: Callable[..., Outcome], small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    subprocess.run(["git", "init", "-q", str(home)], check=True)
    subprocess.run(
        ["git", "-C", str(home), "remote", "add", "origin", f"https://me:{GIT_WORD}@git.example.org/x"], check=True
    )
    (home / ".git").rename(tmp_path.parent / f"{tmp_path.name}.git")  # what is looked through has no copy of it
    (home / ".git").write_text(f"gitdir: {tmp_path.parent / (tmp_path.name + '.git')}\n")
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("https_proxy", f"http://me:{PROXY_WORD}@127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    for name in ("WANDB_BASE_URL", "WANDB_SILENT", "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name in ("CONFIG", "CACHE", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(home / "wandb"))
    settings = [setting for setting in small if not setting.startswith("logger")]
    end_process()
    with WandbServer() as server:
        where = ["logger=wandb", f"logger.base_url={server.url}", "hydra.run.dir=run"]
        more = ["logger.log_predictions=true", "logger.log_checkpoint=true", "trainer.max_epochs=1"]
        done = cli("train", *settings, *where, *more)
        end_process()
        sent = b"\n".join(server.bodies)
        assert server.keys == {KEY}  # the server was really spoken to, and the key went where it belongs
    assert done.code == 0, done.err
    left = every_byte(tmp_path) + sent + (done.out + done.err).encode()
    assert b"run-" in left  # wandb's own files were looked through
    for secret in (*CANARIES.values(), KEY, PROXY_WORD, GIT_WORD, "git.example.org"):
        assert secret.encode() not in left, secret
    assert b"requirements.txt" not in left
    assert b"wandb-metadata.json" not in left


@pytest.mark.usefixtures("secrets")
def test_a_secret_in_the_command_line_is_neither_recorded_nor_shown(
    cli: Callable[..., Outcome], small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = cli(
        "train", *small, "logger=wandb", "logger.base_url=https://me:word@wandb.example.org", "hydra.run.dir=a"
    )
    assert (refused.code, "logger.base_url has a user name or password" in refused.err) == (2, True)
    done = cli("train", *small, "trainer.max_epochs=1", "hydra.run.dir=b", "hydra.job.name=canary-hf-4d5e6f")
    assert done.code == 0, done.err
    recorded = json.loads((tmp_path / "b" / "run.json").read_text())
    assert "hydra.job.name=***" in recorded["command"]
    assert b"word@" not in every_byte(tmp_path)
