"""Fetching from a server on this machine that cuts off, ignores ranges, redirects, or holds something else."""

import gzip
import hashlib
import io
import logging
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ner_lab.errors import UserError
from ner_lab.io import download as fetching
from ner_lab.io.archives import find_member
from ner_lab.io.download import Download, extract_gzip, extract_zip, fetch

HINT = "Without the network, give data.dir=FOLDER."
CONTENT = bytes(range(256)) * 40
SUM = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class Site(ThreadingHTTPServer):
    """Serves `files` and notes the requests; what else it does, a test sets."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/corpus.txt": CONTENT}
        self.ranges = True
        self.chunked = False
        self.cut_after: int | None = None
        """Bytes of a body after which the line goes dead"""
        self.redirects: dict[str, str] = {}
        self.says: dict[str, str | None] = {}
        """Headers in place of the true ones; None leaves one out"""
        self.status: int | None = None
        self.requests: list[tuple[str, str | None]] = []
        """(path, what part of it was asked for)"""
        self.headers: list[dict[str, str]] = []

    def handle_error(self, *about: object) -> None:
        """A client that goes is what some tests are about."""

    def url(self, path: str = "/corpus.txt") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Site

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        self.server.headers.append(dict(self.headers))
        self.close_connection = True
        if self.path in self.server.redirects:
            self.send_response(302)
            self.send_header("Location", self.server.redirects[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = self.server.files.get(self.path.partition("?")[0])
        if content is None:
            self.send_error(404)
            return
        first = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.server.ranges else 0
        if first >= len(content) > 0:
            self.send_error(416)
            return
        self._send(content[first:], first, len(content))

    def _send(self, body: bytes, first: int, size: int) -> None:
        self.send_response(self.server.status or (206 if first else 200))
        self.send_header("Connection", "close")
        true = {"Content-Range": f"bytes {first}-{size - 1}/{size}"} if first else {}
        if not self.server.chunked:
            true["Content-Length"] = str(len(body))
        for name, value in (true | self.server.says).items():
            if value is not None:
                self.send_header(name, value)
        sent = body[: self.server.cut_after]
        if self.server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            end = b"\r\n0\r\n\r\n" if len(sent) == len(body) else b""
            self.wfile.write(f"{len(body):x}\r\n".encode() + sent + end)
        else:
            self.end_headers()
            self.wfile.write(sent)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "*")
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def refusal(download: Download, folder: Path) -> str:
    with pytest.raises(UserError) as error:
        fetch(download, folder, HINT)
    assert str(error.value).endswith(HINT)
    assert not (folder / download.file_name).exists()
    return str(error.value)


def parts(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.glob("*.part")]


# what arrives


@pytest.mark.parametrize("checksum", [SUM, f"md5:{hashlib.md5(CONTENT).hexdigest()}", None])
def test_a_file_is_fetched_whole_and_only_once(site: Site, tmp_path: Path, checksum: str | None) -> None:
    download = Download(site.url(), checksum)
    first = fetch(download, tmp_path / "new" / "folder", HINT)
    again = fetch(download, tmp_path / "new" / "folder", HINT)
    assert first == again == tmp_path / "new" / "folder" / "corpus.txt"
    assert first.read_bytes() == CONTENT
    assert site.requests == [("/corpus.txt", None)]
    assert parts(first.parent) == []


def test_the_files_name_is_that_of_the_address_without_its_query() -> None:
    assert Download("https://example.org/a/train.txt.gz?raw=1#x").file_name == "train.txt.gz"


def test_a_file_that_is_there_already_needs_no_server(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_bytes(CONTENT)
    assert fetch(Download("https://example.org/corpus.txt", SUM), tmp_path, HINT).read_bytes() == CONTENT
    assert fetch(Download("https://example.org/corpus.txt"), tmp_path, HINT).read_bytes() == CONTENT


@pytest.mark.parametrize("large", [False, True])
def test_a_file_that_was_damaged_since_it_was_fetched_is_named_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    monkeypatch.setattr(fetching, "_LARGE", 0 if large else 1 << 20)
    folder = tmp_path / "vectors"
    folder.mkdir()
    download = Download("https://example.org/corpus.txt", SUM)
    (folder / "corpus.txt").write_bytes(CONTENT)
    fetch(download, folder, HINT)
    damaged = CONTENT[:70] + b"?" + CONTENT[71:]
    (folder / "corpus.txt").write_bytes(damaged)
    os.utime(folder / "corpus.txt", (1, 1))
    with pytest.raises(
        UserError, match=f"{folder}/corpus.txt: its sha256 is .* Delete it to download it again. {HINT}"
    ):
        fetch(download, folder, HINT)
    assert (folder / "corpus.txt").read_bytes() == damaged


def test_a_file_without_a_length_arrives_too(site: Site, tmp_path: Path) -> None:
    site.chunked = True
    assert fetch(Download(site.url(), SUM), tmp_path, HINT).read_bytes() == CONTENT


def test_a_file_without_a_published_sum_is_noted_with_the_one_it_has(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        fetch(Download(site.url()), tmp_path, HINT)
    assert f"{site.url()} has no published checksum; its SHA-256 is {SUM.removeprefix('sha256:')}" in caplog.text


def test_progress_ends_at_the_whole_size_and_never_goes_back(site: Site, tmp_path: Path) -> None:
    site.files["/big"] = CONTENT * 300  # more than one block
    seen: list[tuple[int, int]] = []
    fetch(Download(site.url("/big")), tmp_path, HINT, lambda done, total: seen.append((done, total)))
    size = 300 * len(CONTENT)
    assert seen == sorted(seen)
    assert len(seen) > 1
    assert seen[-1] == (size, size)
    assert {total for _, total in seen} == {size}


def test_runs_that_want_one_file_at_once_fetch_it_once(site: Site, tmp_path: Path) -> None:
    site.files["/big"] = CONTENT * 300
    together = threading.Barrier(4)
    found: list[bytes] = []

    def run() -> None:
        together.wait()
        found.append(fetch(Download(site.url("/big")), tmp_path, HINT).read_bytes())

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [site.files["/big"]] * 4
    assert len(site.requests) == 1


# what breaks off


@pytest.mark.parametrize("chunked", [False, True])
def test_a_connection_cut_in_the_middle_is_an_error_that_says_what_is_kept(
    site: Site, tmp_path: Path, chunked: bool
) -> None:
    site.cut_after, site.chunked = 5000, chunked
    message = refusal(Download(site.url(), SUM), tmp_path)
    assert message.startswith(f"{site.url()} could not be downloaded: ")
    (kept,) = parts(tmp_path)
    assert f"{len(kept):,} bytes are kept and will be continued" in message
    assert kept == CONTENT[: len(kept)]
    if not chunked:
        assert "the connection ended after 5,000 of 10,240 bytes" in message
        assert len(kept) == 5000


def test_a_cut_transfer_is_resumed_where_it_ended(site: Site, tmp_path: Path) -> None:
    download = Download(site.url(), SUM)
    seen: list[tuple[int, int]] = []
    site.cut_after = 4000
    for _ in range(2):
        refusal(download, tmp_path)
    site.cut_after = None
    assert fetch(download, tmp_path, HINT, lambda *done: seen.append(done)).read_bytes() == CONTENT
    assert [part for _, part in site.requests] == [None, "bytes=4000-", "bytes=8000-"]
    assert seen == [(10240, 10240)]
    assert parts(tmp_path) == []


def test_a_server_that_knows_no_ranges_sends_all_of_it_again(site: Site, tmp_path: Path) -> None:
    download = Download(site.url(), SUM)
    site.ranges, site.cut_after = False, 4000
    refusal(download, tmp_path)
    site.cut_after = None
    assert fetch(download, tmp_path, HINT).read_bytes() == CONTENT
    assert [part for _, part in site.requests] == [None, "bytes=4000-"]


def test_a_part_that_is_whole_already_is_taken_as_the_file(site: Site, tmp_path: Path) -> None:
    (tmp_path / "corpus.txt.part").write_bytes(CONTENT)
    assert fetch(Download(site.url(), SUM), tmp_path, HINT).read_bytes() == CONTENT
    assert site.requests == [("/corpus.txt", "bytes=10240-")]


@pytest.mark.parametrize("part", [b"of another file", CONTENT + b"!"])
def test_a_part_that_does_not_belong_is_found_out_and_gone_at_the_next_attempt(
    site: Site, tmp_path: Path, part: bytes
) -> None:
    (tmp_path / "corpus.txt.part").write_bytes(part)
    download = Download(site.url(), SUM)
    assert "The file was deleted; try again" in refusal(download, tmp_path)
    assert fetch(download, tmp_path, HINT).read_bytes() == CONTENT


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_wrong_sum_names_the_one_found_and_the_one_expected_and_leaves_nothing(
    site: Site, tmp_path: Path, algorithm: str
) -> None:
    found = hashlib.new(algorithm, CONTENT).hexdigest()
    expected = found[::-1]
    message = refusal(Download(site.url(), f"{algorithm}:{expected}"), tmp_path)
    assert f"{site.url()}: its {algorithm} is {found}, expected {expected}." in message
    assert "try again. If it fails again, the publisher has changed the file" in message
    assert parts(tmp_path) == []


def test_offline_the_address_and_the_way_without_a_network_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/corpus.txt"
        message = refusal(Download(url, SUM), tmp_path)
    assert message.startswith(f"{url} could not be downloaded: ")
    assert "refused" in message
    assert "kept" not in message


def test_a_file_that_the_server_lacks_is_an_error(site: Site, tmp_path: Path) -> None:
    assert f"{site.url('/none')} could not be downloaded: Not Found." in refusal(Download(site.url("/none")), tmp_path)


# servers that say what is not so


@pytest.mark.parametrize("length", ["a lot", "-1", "1e9", "9" * 30, "²", ""])
def test_a_length_that_makes_no_sense_is_as_none(site: Site, tmp_path: Path, length: str) -> None:
    site.says["Content-Length"] = length
    assert fetch(Download(site.url(), SUM), tmp_path, HINT).read_bytes() == CONTENT


def test_a_length_that_is_too_small_ends_the_file_there(site: Site, tmp_path: Path) -> None:
    site.says["Content-Length"] = "100"
    assert f"its sha256 is {hashlib.sha256(CONTENT[:100]).hexdigest()}" in refusal(Download(site.url(), SUM), tmp_path)
    assert parts(tmp_path) == []


@pytest.mark.parametrize("announced", [True, False])
def test_more_than_may_ever_be_fetched_is_stopped_and_not_kept(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, announced: bool
) -> None:
    monkeypatch.setattr(fetching, "_MOST", 3 << 20)
    site.files["/big"] = bytes(4 << 20)
    site.chunked = not announced
    seen: list[tuple[int, int]] = []
    with pytest.raises(UserError, match=f"sends 4,194,304 bytes or more, and no more than 3,145,728 .* {HINT}"):
        fetch(Download(site.url("/big"), SUM), tmp_path, HINT, lambda *done: seen.append(done))
    assert max([done for done, _ in seen], default=0) == (0 if announced else 3 << 20)
    assert list(tmp_path.iterdir()) == [tmp_path / "big.lock"]


@pytest.mark.parametrize(
    "stated",
    [
        "bytes 0-10239/10240",
        "bytes 4001-10239/10240",
        "bytes */10240",
        "bytes -4000",
        "4000",
        "bits 4000-10239/10240",
        None,
    ],
)
def test_another_part_than_the_one_asked_for_is_not_joined_to_what_is_there(
    site: Site, tmp_path: Path, stated: str | None
) -> None:
    (tmp_path / "corpus.txt.part").write_bytes(CONTENT[:4000])
    site.says["Content-Range"] = stated
    download = Download(site.url(), SUM)
    assert "another part of the file than was asked for; the next attempt starts from the beginning" in refusal(
        download, tmp_path
    )
    assert parts(tmp_path) == []
    assert fetch(download, tmp_path, HINT).read_bytes() == CONTENT


def test_a_part_that_nobody_asked_for_is_not_taken_for_the_whole(site: Site, tmp_path: Path) -> None:
    site.status, site.says = 206, {"Content-Range": "bytes 0-10239/20480"}
    assert "another part of the file than was asked for" in refusal(Download(site.url()), tmp_path)
    assert parts(tmp_path) == []


def test_without_a_sum_no_part_of_an_earlier_attempt_is_joined_to_a_later_one(site: Site, tmp_path: Path) -> None:
    download = Download(site.url())
    site.cut_after = 4000
    assert "kept" not in refusal(download, tmp_path)
    site.cut_after, site.files["/corpus.txt"] = None, CONTENT[::-1]
    assert fetch(download, tmp_path, HINT).read_bytes() == CONTENT[::-1]
    assert [part for _, part in site.requests] == [None, None]


@pytest.mark.parametrize("answer", [b"", b"\0" * 5000, b"HTTP/1.1 two hundred\r\n\r\n", b"x" * 100_000 + b"\r\n"])
def test_an_answer_that_is_no_http_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/corpus.txt"
        assert f"{url} could not be downloaded: " in refusal(Download(url, SUM), tmp_path)
        server.join()


# where it may come from


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/corpus.txt",
        "http://127.0.0.1.example.org/corpus.txt",
        "ftp://127.0.0.1/corpus.txt",
        "file:///corpus.txt",
        "corpus.txt",
    ],
)
def test_only_https_is_fetched_from_other_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    def no_connection(*address: object, **options: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "create_connection", no_connection)
    assert refusal(Download(url, SUM), tmp_path).startswith(f"{url}: only https URLs can be downloaded.")


def test_a_redirect_is_followed_within_what_may_be_fetched(site: Site, tmp_path: Path) -> None:
    site.redirects["/old.txt"] = site.url()
    path = fetch(Download(site.url("/old.txt"), SUM), tmp_path, HINT)
    assert path.name == "old.txt"
    assert path.read_bytes() == CONTENT


def test_a_redirect_to_plain_http_elsewhere_is_refused(site: Site, tmp_path: Path) -> None:
    site.redirects["/old.txt"] = "http://example.invalid/corpus.txt"
    message = refusal(Download(site.url("/old.txt"), SUM), tmp_path)
    assert "it redirects to http://example.invalid/corpus.txt, and only https URLs can be downloaded" in message


@pytest.mark.parametrize(
    "place",
    ["ftp://127.0.0.1/a", "file:///etc/hostname", "data:text/plain,a", "http://[", "https://a..b/c", "", "//["],
)
def test_a_redirect_to_what_is_no_address_of_ours_is_an_error(site: Site, tmp_path: Path, place: str) -> None:
    site.redirects["/old.txt"] = place
    assert f"{site.url('/old.txt')} could not be downloaded: " in refusal(Download(site.url("/old.txt")), tmp_path)
    assert parts(tmp_path) == []


def test_a_server_of_another_machine_cannot_lead_to_one_of_this() -> None:
    asked = urllib.request.Request("https://example.org/corpus.txt")
    for place in ["http://127.0.0.1:8080/admin", "http://localhost/", "http://example.org/corpus.txt"]:
        with pytest.raises(urllib.error.URLError, match="only https URLs can be downloaded"):
            fetching._SafeRedirects().redirect_request(asked, io.BytesIO(), 302, "Found", HTTPMessage(), place)
    led = fetching._SafeRedirects().redirect_request(
        asked, io.BytesIO(), 302, "Found", HTTPMessage(), "https://example.net/corpus.txt"
    )
    assert led is not None
    assert led.full_url == "https://example.net/corpus.txt"


def test_nothing_is_sent_but_what_is_asked_for_and_by_whom(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".netrc").write_text("default login me password secret\n")
    (tmp_path / "home" / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    site.redirects["/old.txt"] = site.url().replace("127.0.0.1", "localhost")
    fetch(Download(site.url("/old.txt"), SUM), tmp_path, HINT)
    assert len(site.headers) == 2
    for headers in site.headers:
        assert set(headers) == {"Host", "User-Agent", "Accept-Encoding", "Connection"}
        assert headers["User-Agent"] == "ner_lab"


def test_a_password_in_an_address_is_refused_and_not_shown(tmp_path: Path) -> None:
    message = refusal(Download("https://me:secret@example.org/corpus.txt", SUM), tmp_path)
    assert message.startswith("https://...@example.org/corpus.txt: user names and passwords in a URL")
    assert "secret" not in message


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://example.org", "does not end with a file name"),
        ("https://example.org/a/..", "does not end with a file name"),
        ("https://example.org/?f=corpus.txt", "does not end with a file name"),
        ("https://[::1/corpus.txt", "not a valid URL"),
        ("https://example.org/korpus mit leerzeichen.txt", "%20"),
        ("https://example.org/wörter.txt", "%20"),
        ("https://example.org/a\r\nX-Evil: 1/b", "%20"),
        ("https://example.org/a\0b", "%20"),
    ],
)
def test_an_address_that_cannot_be_one_is_an_error_at_once(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(UserError, match=f"{said}.* {HINT}"):
        fetch(Download(url, SUM), tmp_path / "new", HINT)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("checksum", ["sha256:abc", "sha512:" + "0" * 128, "0" * 64, "sha256:" + "G" * 64, "md5:", ""])
def test_a_sum_that_no_file_can_have_is_an_error_at_once(tmp_path: Path, checksum: str) -> None:
    assert f"invalid checksum '{checksum}'" in refusal(Download("https://example.org/a.txt", checksum), tmp_path)


def test_certificates_are_checked_whatever_the_program_around_has_switched_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ssl, "_create_default_https_context", ssl._create_unverified_context)
    (handler,) = [one for one in fetching._opener().handlers if isinstance(one, urllib.request.HTTPSHandler)]
    assert handler._context.verify_mode == ssl.CERT_REQUIRED
    assert handler._context.check_hostname


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_server_with_a_certificate_of_its_own_making_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        [*made, *names, "-keyout", tmp_path / "key", "-out", tmp_path / "cert"], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    with Site() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        download = Download(f"https://localhost:{server.server_port}/corpus.txt", SUM)
        try:
            assert "CERTIFICATE_VERIFY_FAILED" in refusal(download, tmp_path)
            assert server.requests == []
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
            assert fetch(download, tmp_path, HINT).read_bytes() == CONTENT
        finally:
            server.shutdown()
            thread.join()


# archives


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


TEXT = b"York NNP B-LOC\nwon VBD O\n\n" * 9
ARCHIVES = {
    "zip": (zipped({"corpus/README": b"about", "corpus/train.txt": TEXT}), extract_zip),
    "gz": (gzip.compress(TEXT), extract_gzip),
}


def extract(kind: str, archive: Path, target: Path) -> Path:
    if kind == "zip":
        return extract_zip(archive, "train.txt", target, HINT)
    return extract_gzip(archive, target, HINT)


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_file_is_taken_out_of_its_archive_whole_and_once(tmp_path: Path, kind: str) -> None:
    archive, target = tmp_path / f"a.{kind}", tmp_path / "train.txt"
    archive.write_bytes(ARCHIVES[kind][0])
    assert extract(kind, archive, target) == target
    assert target.read_bytes() == TEXT
    archive.write_bytes(b"gone bad since")
    assert extract(kind, archive, target).read_bytes() == TEXT
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([archive.name, "train.txt"])


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_that_ends_too_early_is_an_error_wherever_it_ends(tmp_path: Path, kind: str) -> None:
    whole = ARCHIVES[kind][0]
    archive, target = tmp_path / f"a.{kind}", tmp_path / "train.txt"
    for end in range(kind == "gz", len(whole)):  # a gzip file of nothing is one of no parts
        archive.write_bytes(whole[:end])
        with pytest.raises(
            UserError, match=rf"^{re.escape(str(archive))}: .*Delete the file and run .* again\. {HINT}"
        ):
            extract(kind, archive, target)
        assert [path.name for path in tmp_path.iterdir()] == [archive.name]


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_changed_byte_of_the_packed_text_never_goes_unnoticed(tmp_path: Path, kind: str) -> None:
    whole = ARCHIVES[kind][0]
    archive, target = tmp_path / f"a.{kind}", tmp_path / "train.txt"
    packed = gzip.compress(TEXT)[10:-8] if kind == "gz" else packed_in_zip(whole)
    begin = whole.index(packed)
    harmless = 0  # padding behind the packed text, for instance
    for place in range(begin, begin + len(packed)):
        archive.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            extract(kind, archive, target)
        except UserError as error:
            assert "Delete the file and run the command again" in str(error)  # noqa: PT017
            assert not target.exists()
        else:
            harmless += 1
            assert target.read_bytes() == TEXT
            target.unlink()
    assert harmless <= 2


def packed_in_zip(whole: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        member = archive.getinfo("corpus/train.txt")
    begin = member.header_offset + 30 + len(member.filename)
    return whole[begin : begin + member.compress_size]


@pytest.mark.parametrize("kind", ARCHIVES)
def test_what_is_no_archive_is_an_error(tmp_path: Path, kind: str) -> None:
    archive = tmp_path / f"a.{kind}"
    archive.write_bytes(b"<html>Please log in</html>")
    with pytest.raises(UserError, match="Delete the file and run the command again"):
        extract(kind, archive, tmp_path / "train.txt")


def test_a_zip_file_without_the_member_says_what_it_holds(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped({"corpus/README": b"", "corpus/eng.train": TEXT}))
    expected = rf"no 'train.txt' in the archive, which has corpus/README, corpus/eng\.train\. {HINT}"
    with pytest.raises(UserError, match=expected):
        extract_zip(archive, "train.txt", tmp_path / "train.txt", HINT)


def test_a_member_is_found_by_its_own_name_in_whatever_folder() -> None:
    content = zipped({"__MACOSX/._train.txt": b"", "old/mytrain.txt": b"", "a/b/train.txt": b"", "train.txt.bak": b""})
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
    assert find_member(names, "train.txt") == "a/b/train.txt"
    assert find_member(names, "b") is None


def test_runs_that_unpack_one_archive_at_once_all_get_it_whole(tmp_path: Path) -> None:
    text = TEXT * 2000
    archive, target = tmp_path / "a.gz", tmp_path / "train.txt"
    archive.write_bytes(gzip.compress(text, 1))
    together = threading.Barrier(4)
    found: list[bytes] = []

    def run() -> None:
        together.wait()
        found.append(extract_gzip(archive, target, HINT).read_bytes())

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [text] * 4
