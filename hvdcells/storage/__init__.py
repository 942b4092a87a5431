"""One file layer for local disks, S3 and every other fsspec address.

`storage.parquet` is not imported with it: pyarrow takes its time.
"""

from hvdcells.storage.files import (
    ASIDE,
    UnnamedFile,
    create_text,
    local_copy,
    new_file,
    open_file,
    open_regular,
    read_bytes,
    read_text,
    unnamed_file,
    write_bytes,
    write_text,
)
from hvdcells.storage.folders import (
    exists,
    files_below,
    is_empty,
    is_file,
    names_in,
    new_folder,
    remove,
    remove_left_aside,
    size_bytes,
)
from hvdcells.storage.locations import Location, absolute, filesystem, is_local, is_near, join, local_path
from hvdcells.storage.user_errors import as_user_error, told_to_driver, user_errors

__all__ = [
    "ASIDE",
    "Location",
    "UnnamedFile",
    "absolute",
    "as_user_error",
    "create_text",
    "exists",
    "files_below",
    "filesystem",
    "is_empty",
    "is_file",
    "is_local",
    "is_near",
    "join",
    "local_copy",
    "local_path",
    "names_in",
    "new_file",
    "new_folder",
    "open_file",
    "open_regular",
    "read_bytes",
    "read_text",
    "remove",
    "remove_left_aside",
    "size_bytes",
    "told_to_driver",
    "unnamed_file",
    "user_errors",
    "write_bytes",
    "write_text",
]
