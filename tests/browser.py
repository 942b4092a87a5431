"""A headless Chromium, asked through a pipe by the DevTools protocol."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

BROWSER = next((name for name in ("chromium", "chromium-browser", "google-chrome") if shutil.which(name)), None)
SECONDS = 120


class Browser:
    """One page of a browser; `complaints` are what its console says."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, os.fdopen(from_browser, "rb")
        self._number, self._session = 0, None
        self._unread = b""
        self.complaints: list[str] = []

    def open(self, url: str, width: int, height: int) -> None:
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")
        self.resize(width, height)
        self.ask("Page.navigate", url=url)

    def resize(self, width: int, height: int) -> None:
        sizes = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.ask("Emulation.setDeviceMetricsOverride", **sizes)

    def drop(self, files: Sequence[Path], x: int, y: int) -> None:
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.ask("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def value(self, script: str):
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait_for(self, script: str):
        until = time.monotonic() + SECONDS
        while not (found := self.value(script)):
            assert time.monotonic() < until, (script, self.complaints, self.value("document.body.innerText"))
            time.sleep(0.05)
        return found

    def picture(self, file: Path) -> None:
        shown = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shown["data"]))

    def ask(self, method: str, **params):
        self._number += 1
        asked = {"id": self._number, "method": method, "params": params}
        if self._session and not method.startswith("Target."):
            asked["sessionId"] = self._session
        os.write(self._to, json.dumps(asked).encode() + b"\0")
        while (said := self._message()).get("id") != self._number:
            if said.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                self.complaints.append(json.dumps(said["params"]))
        assert "error" not in said, said
        return said["result"]

    def _message(self):
        while b"\0" not in self._unread:
            more = self._from.read1(65536)
            assert more, "the browser has ended"
            self._unread += more
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    assert BROWSER is not None
    its_input, ours = os.pipe()
    theirs, its_output = os.pipe()
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
    # The protocol's pipes are the descriptors 3 and 4.
    command = ["bash", "-c", f'exec "$@" 3<&{its_input} 4>&{its_output}', "-", BROWSER, *words]
    process = subprocess.Popen(command, pass_fds=(its_input, its_output), stderr=subprocess.DEVNULL)
    os.close(its_input)
    os.close(its_output)
    asked = Browser(ours, theirs)
    try:
        yield asked
    finally:
        os.close(ours)  # which ends the browser
        process.wait(SECONDS)
        asked._from.close()
