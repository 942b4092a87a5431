"""Secrets kept out of what is written: passwords in addresses, signatures of signed addresses, values of variables.

And control characters made visible, which names of files, subjects and classes may hold.
"""

import os
import re
from collections.abc import Mapping

HIDDEN = "***"
SECRET_NAME = re.compile(
    r"secret|token|passw(or)?d|credential|signature|private|api[-_.]?key|access[-_.]?key|account[-_.]?key|\bsig\b|\bpwd\b",
    re.IGNORECASE,
)
"""Names, of variables and settings and of the parts of a query, behind which a secret stands."""
NO_SECRETS = {"PWD", "OLDPWD"}
"""Variables of every shell: a folder, no password."""
SHORTEST = 8
"""Shorter values of variables are no secrets but words such as `testing`."""
_CREDENTIALS = re.compile(r"://[^/\s@:]*:[^/\s@]*@|^(https?|ftp|webdavs?)://[^/\s@]+@", re.IGNORECASE)
"""User and password in an address, or a token alone; a name alone before the @ is a container or a user elsewhere."""
_PASSWORD = re.compile(r"(?<=://)[^/\s@'\"<>]+@")
_QUERY = re.compile(r"(?<=[?&#;])([\w.%-]+)=([^&#;\s'\"<>]+)")
_QUERY_NAME = re.compile(r"(.*[-_.])?(key|auth|authorization|code|jwt|session|pass|pw)", re.IGNORECASE)
"""Names of parts of a query, whole, behind which a secret stands too; as names of settings they are harmless."""
_SETTING = re.compile(r"(?<![\w?&#;.-])([\w.-]+)([=:] ?)('[^']*'|\"[^\"]*\"|[^\s'\"<>,;&]+)")
"""A setting in a command or a message, such as spark.hadoop.fs.s3a.secret.key=X."""


def has_secrets(address: str) -> bool:
    """Whether an address holds a password or a signature."""
    return bool(_CREDENTIALS.search(address)) or any(_is_secret_part(name) for name, _ in _QUERY.findall(address))


def _is_secret_part(name: str) -> bool:
    return bool(SECRET_NAME.search(name) or _QUERY_NAME.fullmatch(name))


def without_secrets(text: str, environ: Mapping[str, str] | None = None) -> str:
    """Return a text in which secrets are replaced by stars.

    These are user names and passwords in addresses, the secret parts of their queries and fragments, and the values of
    settings and environment variables whose names say that they are secret.
    """
    environ = os.environ if environ is None else environ
    for name, value in environ.items():
        if SECRET_NAME.search(name) and name not in NO_SECRETS and len(value) >= SHORTEST and value in text:
            text = text.replace(value, HIDDEN)
    text = _PASSWORD.sub(f"{HIDDEN}@", text)
    text = _QUERY.sub(lambda found: f"{found[1]}={HIDDEN}" if _is_secret_part(found[1]) else found[0], text)
    return _SETTING.sub(_setting_hidden, text)


def _setting_hidden(found: re.Match[str]) -> str:
    name, equals, value = found.groups()
    # After a colon stands prose more often than a value: only dotted names, as of Spark's settings, are taken for one.
    is_setting = equals == "=" or "." in name
    return f"{name}{equals}{HIDDEN}" if is_setting and SECRET_NAME.search(name) and value != HIDDEN else found[0]


_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff]")
"""Characters that tell a terminal what to do, or turn the direction of what follows; a line's end and tabs stay."""


def visible(text: str) -> str:
    """Return a text as it can be shown: control characters stand there as their codes, such as `\\x1b`."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
