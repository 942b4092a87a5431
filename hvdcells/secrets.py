"""Secrets kept out of what is written: passwords in addresses, signatures of signed addresses, values of variables."""

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
_CREDENTIALS = re.compile(r"://[^/\s@:]*:[^/\s@]*@")
"""User and password in an address; a name alone before the @ is a container or a user of other file systems."""
_PASSWORD = re.compile(r"(?<=://)[^/\s@'\"<>]+@")
_QUERY = re.compile(r"(?<=[?&])([\w.%-]+)=([^&\s'\"<>]+)")


def has_secrets(address: str) -> bool:
    """Whether an address holds a password or a signature."""
    return bool(_CREDENTIALS.search(address)) or any(SECRET_NAME.search(name) for name, _ in _QUERY.findall(address))


def without_secrets(text: str, environ: Mapping[str, str] | None = None) -> str:
    """Return a text in which secrets are replaced by stars.

    These are user names and passwords in addresses, the signed parts of their queries, and the values of environment
    variables whose names say that they are secret.
    """
    environ = os.environ if environ is None else environ
    for name, value in environ.items():
        if SECRET_NAME.search(name) and name not in NO_SECRETS and len(value) >= SHORTEST and value in text:
            text = text.replace(value, HIDDEN)
    text = _PASSWORD.sub(f"{HIDDEN}@", text)
    return _QUERY.sub(lambda found: f"{found[1]}={HIDDEN}" if SECRET_NAME.search(found[1]) else found[0], text)
