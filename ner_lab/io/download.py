"""Download public files: once, checked against a pinned checksum, resumed after an interruption."""

import hashlib
import logging
import os
import re
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPMessage
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlsplit

from ner_lab.errors import UserError
from ner_lab.io.archives import Damaged, find_member, gzip_content, zip_member
from ner_lab.io.atomic import sync_folder, whole_file
from ner_lab.io.cache import content_hash
from ner_lab.io.locks import locked
from ner_lab.io.os_errors import is_disk_error

log = logging.getLogger(__name__)

_LARGE = 32 << 20  # bytes, above which a checksum takes so long that it is remembered
_MOST = 64 << 30  # bytes; the largest public vectors have 6 GB

Progress = Callable[[int, int], None]
"""Called with (bytes so far, bytes in all or 0)."""


@dataclass(frozen=True, slots=True)
class Download:
    """A file at a public address, and its required checksum (`sha256:...` or `md5:...`, or None)."""

    url: str
    checksum: str | None = None

    @property
    def file_name(self) -> str:
        return PurePosixPath(urlsplit(self.url).path).name


def fetch(download: Download, folder: Path, hint: str, progress: Progress | None = None) -> Path:
    """Download a file to `folder`; no network is used if it is already there with the right checksum.

    A partial file of an earlier attempt is continued. Runs that want the same file at once wait for the first one to
    fetch it. `hint` says how to do without the network and ends every error message. Raises UserError when offline or
    if the checksum is wrong.
    """
    _check_address(download.url, hint)
    _check_sum(download, hint)
    target = folder / download.file_name
    if target.exists():
        _check_kept(target, download, hint)
        return target
    if not _is_safe(download.url):
        raise UserError(f"{download.url}: only https URLs can be downloaded. {hint}")
    folder.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    with locked(target.with_name(target.name + ".lock")):
        if target.exists():
            return target
        if download.checksum is None:  # a partial file could belong to another file
            part.unlink(missing_ok=True)
        try:
            _transfer(download.url, part, progress)
        except (OSError, HTTPException) as error:
            if isinstance(error, OSError) and is_disk_error(error):  # our disk, not the network
                error.filename = str(part)
                raise
            kept = ""
            if download.checksum is not None and part.exists():
                kept = f" {part.stat().st_size:,} bytes are kept and will be continued."
            reason = getattr(error, "reason", error)
            raise UserError(f"{download.url} could not be downloaded: {reason}.{kept} {hint}") from None
        _verify(part, download, hint)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
        sync_folder(folder)
    return target


def extract_zip(archive: Path, member: str, target: Path, hint: str) -> Path:
    """Write the member of a zip file to `target`, atomically."""

    def choose(names: Sequence[str]) -> str:
        name = find_member(names, member)
        if name is None:
            raise UserError(f"{archive}: no '{member}' in the archive, which has {', '.join(names[:8])}.")
        return name

    return _extract(lambda: zip_member(archive, choose), archive, target, hint)


def extract_gzip(archive: Path, target: Path, hint: str) -> Path:
    """Unpack a gzip file to `target`, atomically."""
    return _extract(lambda: gzip_content(archive), archive, target, hint)


def _extract(opened: Callable[[], AbstractContextManager[IO[bytes]]], archive: Path, target: Path, hint: str) -> Path:
    if not target.exists():
        try:
            with opened() as source, whole_file(target, "wb") as out:
                shutil.copyfileobj(source, out)
        except UserError as error:
            raise UserError(f"{error} {hint}") from None
        except Damaged as error:
            raise UserError(f"{archive}: {error}. Delete the file and run the command again. {hint}") from None
    return target


def _transfer(url: str, part: Path, progress: Progress | None) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "ner_lab"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = _opener().open(request, timeout=30)
    except urllib.error.HTTPError as error:
        if have and error.code == 416:  # no bytes after those we have: the file is complete
            return
        raise
    except ValueError as error:  # an invalid address, the given one or that of a redirect
        raise OSError(f"no address: {error}") from None
    with response:
        continued = response.status == 206
        if continued and (not have or _first_place(response.headers) != have):
            part.unlink(missing_ok=True)
            raise OSError(
                "it sent another part of the file than was asked for; the next attempt starts from the beginning"
            )
        have = have if continued else 0
        total = have + _length(response.headers)
        with part.open("ab" if continued else "wb") as out:
            while total <= _MOST and (block := response.read(1 << 20)):
                have += len(block)
                if have > _MOST:
                    break
                out.write(block)
                if progress:
                    progress(have, total)
    if max(have, total) > _MOST:
        part.unlink()
        raise OSError(f"it sends {max(have, total):,} bytes or more, and no more than {_MOST:,} are fetched")
    if total and have < total:
        raise OSError(f"the connection ended after {have:,} of {total:,} bytes")


def _opener() -> urllib.request.OpenerDirector:
    """An opener that verifies certificates, even if the surrounding program has disabled that globally."""
    return urllib.request.build_opener(
        _SafeRedirects, urllib.request.HTTPSHandler(context=ssl.create_default_context())
    )


def _length(headers: Message) -> int:
    """The announced length in bytes; 0 if it is missing or invalid."""
    length = str(headers.get("Content-Length"))
    return int(length) if re.fullmatch(r"[0-9]{1,18}", length) else 0


def _first_place(headers: Message) -> int | None:
    """The offset in the file at which a partial response starts."""
    match = re.match(r"bytes ([0-9]{1,18})-", str(headers.get("Content-Range")))
    return int(match[1]) if match else None


def _verify(part: Path, download: Download, hint: str) -> None:
    if download.checksum is None:
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        log.warning("%s has no published checksum; its SHA-256 is %s", download.url, found)
        return
    algorithm, _, expected = download.checksum.partition(":")
    with part.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != expected:
        part.unlink()
        raise UserError(
            f"{download.url}: its {algorithm} is {found}, expected {expected}. The file was deleted; "
            f"try again. If it fails again, the publisher has changed the file. {hint}"
        )


def _check_kept(target: Path, download: Download, hint: str) -> None:
    """Raise UserError if a file fetched earlier has changed since."""
    if download.checksum is None:
        return
    algorithm, _, expected = download.checksum.partition(":")
    if algorithm == "sha256" and target.stat().st_size > _LARGE:
        found = content_hash(target, target.parents[1])  # shared: vectors are hashed elsewhere too
    else:
        with target.open("rb") as file:
            found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != expected:
        raise UserError(
            f"{target}: its {algorithm} is {found}, expected {expected}. It was damaged after the download, or is "
            f"another file. Delete it to download it again. {hint}"
        )


def _check_address(url: str, hint: str) -> None:
    """Raise UserError if nothing can be fetched from an address, or it gives no file name."""
    try:
        place = urlsplit(url)
        name = PurePosixPath(place.path).name
        secret = place.username is not None or place.password is not None
    except ValueError as error:
        raise UserError(f"{url}: not a valid URL ({error}). {hint}") from None
    if secret:
        raise UserError(
            f"{place.scheme}://...@{place.hostname}{place.path}: user names and passwords in a URL end up in configs "
            f"and logs; remove them. {hint}"
        )
    if not re.fullmatch(r"[!-~]+", url):
        raise UserError(
            f"{url!r}: a URL has only ASCII characters without blanks; escape others, such as a blank as %20. {hint}"
        )
    if name in ("", ".."):
        raise UserError(f"{url}: the URL does not end with a file name. {hint}")


def _check_sum(download: Download, hint: str) -> None:
    """Raise UserError if a checksum cannot be that of any file."""
    checksum = download.checksum
    if checksum is not None and not re.fullmatch("sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}", str(checksum)):
        raise UserError(
            f"{download.url}: invalid checksum {checksum!r}, expected sha256: and 64 hexadecimal digits, md5: and "
            f"32, or null if none was published. {hint}"
        )


def _is_safe(url: str) -> bool:
    return urlsplit(url).scheme == "https" or _is_local(url)


def _is_local(url: str) -> bool:
    place = urlsplit(url)
    return place.scheme == "http" and place.hostname in ("127.0.0.1", "localhost", "::1")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to https only; loopback servers may redirect to loopback servers."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != "https" and not (_is_local(newurl) and _is_local(req.full_url)):
            raise urllib.error.URLError(f"it redirects to {newurl}, and only https URLs can be downloaded")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
