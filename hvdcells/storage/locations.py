"""Locations: a local path, or a URL such as `s3://bucket/prefix`, and the file system that is behind it."""

import os
from typing import Any, TypeAlias

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from hvdcells.errors import UserError
from hvdcells.secrets import has_secrets, without_secrets

Location: TypeAlias = str | os.PathLike[str]


def filesystem(location: Location) -> tuple[AbstractFileSystem, str]:
    """Return the fsspec file system of a location and the location's path on it.

    The endpoint and credentials of S3 come from the usual AWS variables (`AWS_ENDPOINT_URL`, …).

    Raises:
        UserError: the protocol is not known, or the package that speaks it is missing.
    """
    location = os.fspath(location)
    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(location)
        return found
    except Exception as error:  # ValueError, ImportError, or whatever the client's constructor raises
        # What was asked for is a place on this disk, so the fault is not the address's.
        if "://" not in location:
            raise
        shown = without_secrets(location)
        if isinstance(error, ImportError):
            remedy = f"install it into the environment that hvdcells runs in, on executors too ({error})"
            raise UserError(
                f"the address {shown}: a package is missing", "the package that speaks its protocol", remedy
            ) from error
        raise UserError(
            f"the address {shown}: {without_secrets(str(error))}",
            "a local path, s3://BUCKET/KEY, or another address that fsspec knows",
            "correct the address",
        ) from error


def join(location: Location, *parts: str) -> str:
    """Join parts below a location, keeping its protocol."""
    return "/".join([os.fspath(location).rstrip("/"), *parts])


def is_near(address: str, typed: Location) -> bool:
    """Whether an address, which a file names, may be followed because of one that the user has typed.

    Both are on this machine's disks, or in the same bucket or on the same host by the same protocol. An address that
    wraps another (`simplecache::http://…`) may lead anywhere.
    """
    address, typed = address.removeprefix("file://"), os.fspath(typed).removeprefix("file://")
    if "::" in address or "://" not in address:
        return "::" not in address and "://" not in typed
    protocol, _, rest = address.partition("://")
    typed_protocol, _, typed_rest = typed.partition("://")
    return (protocol, rest.partition("/")[0]) == (typed_protocol, typed_rest.partition("/")[0])


def is_local(location: Location) -> bool:
    """Whether the location is on this machine's disk."""
    return isinstance(filesystem(location)[0], LocalFileSystem)


def local_path(location: Location) -> str | None:
    """Return the path of a location on this machine's disk; None if it is elsewhere."""
    fs, path = filesystem(location)
    return path if isinstance(fs, LocalFileSystem) else None


def absolute(location: Location) -> str:
    """Make a local location absolute (executors have another working folder); leave a URL as it is.

    Raises:
        UserError: it holds a password or a signature, which would end up in manifests, runs and reports.
    """
    location = os.fspath(location)
    if has_secrets(location):
        raise UserError(
            f"the address {without_secrets(location)}",
            "an address without password and without signature: it is written into what is made from it",
            "give the rights another way, such as AWS_PROFILE, the AWS_ variables or the machine's role",
        )
    path = local_path(location)
    return location.rstrip("/") if path is None else path
