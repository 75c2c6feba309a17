"""W&B's server: API key, reachability, timeouts, and whether an error is W&B's."""

import netrc
import os
import ssl
import threading
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from ner_lab.io.secrets import redacted

BASE_URL = "https://api.wandb.ai"


def is_wandb_error(error: Exception) -> bool:
    """Whether W&B, the network or the disk caused an error, and not our use of them.

    Any error raised within wandb's own code counts as W&B's: for example, an answer that is not from W&B.
    """
    return isinstance(error, OSError) or _is_wandb_module(type(error).__module__) or _raised_in_wandb(error)


def _raised_in_wandb(error: Exception) -> bool:
    frames = traceback.walk_tb(error.__traceback__)
    return any(_is_wandb_module(frame.f_globals.get("__name__", "")) for frame, _ in frames)


def _is_wandb_module(module: str) -> bool:
    return module == "wandb" or module.startswith("wandb.")


def reason(error: Exception) -> str:
    """An error in one line."""
    text = redacted(" ".join(str(error).split()))[:200]
    return text if text not in ("", "<no message>") else type(error).__name__


def ask(url: str, seconds: float) -> None:
    """Raise OSError if nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=seconds):
            pass
    except urllib.error.HTTPError:  # still an answer
        pass
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLError):  # an answer; certificates are checked by wandb
            return
        if isinstance(error.reason, TimeoutError):
            raise TimeoutError(timeout_message(url, seconds)) from None
        raise ConnectionError(f"{url} cannot be reached ({error.reason})") from None
    except TimeoutError:
        raise TimeoutError(timeout_message(url, seconds)) from None


def timeout_message(url: str, seconds: float) -> str:
    """The message of a TimeoutError for a server that does not answer."""
    return f"no answer from {url} in {seconds:g} s"


def run_with_timeout(fn: Callable[[], Any], seconds: float, message: str) -> Any:
    """Result of `fn`, or TimeoutError with `message` if it takes longer; it then keeps running in the background."""
    result: dict[str, Any] = {}

    def work() -> None:
        try:
            result["value"] = fn()
        except BaseException as error:
            result["error"] = error

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(seconds)
    if worker.is_alive():
        raise TimeoutError(message)
    if "error" in result:
        raise result["error"]
    return result["value"]


def has_key(base_url: str) -> bool:
    """Whether an API key is available: in the environment, or stored by `wandb login`."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(urlsplit(base_url).hostname or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False
