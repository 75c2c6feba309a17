"""Files from the published archive of SENNA (Collobert et al. 2011): its vectors and its name lists."""

import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ner_lab.errors import UserError
from ner_lab.io.archives import Damaged, gzip_content
from ner_lab.io.atomic import write_atomic
from ner_lab.io.download import Download, Progress, fetch
from ner_lab.io.locks import locked


def senna_folder(
    download: Download, wanted: Sequence[str], cache: Path, hint: str, progress: Progress | None = None
) -> Path:
    """A folder within `cache` that holds the files `wanted`, given as `hash/words.lst`; downloaded if need be."""
    place = cache / "vectors"
    folder = place / "senna"
    if _missing(folder, wanted):
        archive = fetch(download, place, hint, progress)
        with locked(place / "senna.unpack.lock"):  # parallel runs may want it at once
            if missing := _missing(folder, wanted):
                _unpack(archive, folder, missing)
    return folder


def spellings_of(name: str) -> tuple[str, ...]:
    """Possible names of a file: SENNA's own program asks for `ner.msc.lst`, others for `ner.misc.lst`."""
    return tuple(dict.fromkeys([name, name.replace("ner.misc.", "ner.msc.")]))


def _missing(folder: Path, wanted: Sequence[str]) -> list[str]:
    return [name for name in wanted if not (folder / name).exists()]


def _unpack(archive: Path, folder: Path, wanted: Sequence[str]) -> None:
    """Extract only the wanted files, under our own names, after the complete archive has been verified."""
    contents: dict[str, bytes] = {}
    try:
        with gzip_content(archive) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    plain = member.isreg() and not member.issparse()  # a sparse member is as large as it claims
                    name = _wanted_name(member.name, wanted) if plain else None
                    source = tar.extractfile(member) if name is not None and name not in contents else None
                    if name is not None and source is not None:
                        contents[name] = source.read()
            for name in wanted:
                if name not in contents:
                    raise UserError(f"{archive}: no {name} in the archive. Is it SENNA 3.0?")
            while stream.read(1 << 20):  # to the end, where the checksum is
                pass
    except (Damaged, tarfile.TarError, RecursionError) as error:  # RecursionError: chains of names
        raise UserError(f"{archive}: {error}. Delete the file and run the command again.") from None
    for name, content in contents.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, content)


def _wanted_name(member: str, wanted: Sequence[str]) -> str | None:
    path = PurePosixPath(member)
    return next((name for name in wanted if any(path.match(spelling) for spelling in spellings_of(name))), None)
