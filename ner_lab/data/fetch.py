"""Public files by name: fetched once, checked against a pinned sum, resumed when cut off."""

import hashlib
import logging
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlsplit

from ner_lab.data.cache import lock
from ner_lab.data.unpacking import Damaged, find_member, gzip_content, zip_member
from ner_lab.disk import is_of_the_disk
from ner_lab.errors import UserError
from ner_lab.whole import sync_folder, whole_file

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with (bytes so far, bytes in all or 0)."""


@dataclass(frozen=True, slots=True)
class Download:
    """A file at a public address, and the sum it must have (`sha256:...` or `md5:...`, or None)."""

    url: str
    checksum: str | None = None

    @property
    def file_name(self) -> str:
        return PurePosixPath(urlsplit(self.url).path).name


def fetch(download: Download, folder: Path, hint: str, progress: Progress | None = None) -> Path:
    """The downloaded file in `folder`; at once if it is there already.

    A part left by an earlier attempt is continued; runs that want the same file at once wait for
    the first one to fetch it. `hint` says how to do without the network and ends every error
    message. Raises UserError when offline or when the sum is wrong.
    """
    target = folder / download.file_name
    if target.exists():
        return target
    if not _is_safe(download.url):
        raise UserError(f"{download.url}: only https addresses are fetched. {hint}")
    folder.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    with lock(target.with_name(target.name + ".lock")):
        if target.exists():
            return target
        try:
            _transfer(download.url, part, progress)
        except (OSError, HTTPException) as error:
            if isinstance(error, OSError) and is_of_the_disk(error):  # ours, and not the network
                error.filename = str(part)
                raise
            kept = f" {part.stat().st_size:,} bytes are kept and will be continued." if part.exists() else ""
            reason = getattr(error, "reason", error)
            raise UserError(f"{download.url} could not be fetched: {reason}.{kept} {hint}") from None
        _verify(part, download, hint)
        with part.open("rb+") as whole:
            os.fsync(whole.fileno())
        os.replace(part, target)
        sync_folder(folder)
    return target


def extract_zip(archive: Path, member: str, target: Path, hint: str) -> Path:
    """Write the member of a zip file to `target`, whole or not at all."""

    def choose(names: Sequence[str]) -> str:
        name = find_member(names, member)
        if name is None:
            raise UserError(f"{archive}: no '{member}' in it; it holds {', '.join(names[:8])}.")
        return name

    return _extract(lambda: zip_member(archive, choose), archive, target, hint)


def extract_gzip(archive: Path, target: Path, hint: str) -> Path:
    """Unpack a gzip file to `target`, whole or not at all."""
    return _extract(lambda: gzip_content(archive), archive, target, hint)


def _extract(opened: Callable[[], AbstractContextManager[IO[bytes]]], archive: Path, target: Path, hint: str) -> Path:
    if not target.exists():
        try:
            with opened() as source, whole_file(target, "wb") as out:
                shutil.copyfileobj(source, out)
        except UserError as error:
            raise UserError(f"{error} {hint}") from None
        except Damaged as error:
            raise UserError(f"{archive}: {error}. Delete the file and start again. {hint}") from None
    return target


def _transfer(url: str, part: Path, progress: Progress | None) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "ner_lab"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.build_opener(_SafeRedirects).open(request, timeout=30)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing lies behind what we have: it is all there
            return
        raise
    with response:
        continued = response.status == 206
        have = have if continued else 0
        total = have + int(response.headers.get("Content-Length") or 0)
        with part.open("ab" if continued else "wb") as out:
            while block := response.read(1 << 20):
                out.write(block)
                have += len(block)
                if progress:
                    progress(have, total)
    if total and have < total:
        raise OSError(f"the connection ended after {have:,} of {total:,} bytes")


def _verify(part: Path, download: Download, hint: str) -> None:
    if download.checksum is None:
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        log.warning("%s has no published sum; its SHA-256 here is %s", download.url, found)
        return
    algorithm, _, expected = download.checksum.partition(":")
    with part.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != expected:
        part.unlink()
        raise UserError(
            f"{download.url}: its {algorithm} is {found}, expected {expected}. The file was deleted; "
            f"try again, or the publisher has changed it. {hint}"
        )


def _is_safe(url: str) -> bool:
    place = urlsplit(url)
    return place.scheme == "https" or (place.scheme == "http" and place.hostname in ("127.0.0.1", "localhost", "::1"))


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to where `fetch` would have gone itself."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if not _is_safe(newurl):
            raise urllib.error.URLError(f"it redirects to {newurl}, and only https addresses are fetched")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
