"""A headless Chromium that tests steer through its DevTools protocol, over two pipes."""

import fcntl
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39, "ArrowDown": 40}


def find_chromium() -> str | None:
    """The browser's command, or None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Chromium:
    """One page in a browser of its own; `close` ends it."""

    def __init__(self, folder: Path) -> None:
        command = [find_chromium(), "--headless=new", "--no-sandbox", "--disable-gpu"]
        command += ["--disable-dev-shm-usage", "--remote-debugging-pipe"]
        command += [f"--user-data-dir={folder}", "about:blank"]
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        self._process = _spawn(command, theirs_in, theirs_out)
        self._buffer, self._number, self._session = b"", 0, {}
        self.events: list[dict[str, Any]] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a command of the protocol; raises `RuntimeError` where it fails."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters, **self._session}
        data = json.dumps(command).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        while (answer := self._read()).get("id") != self._number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not (data := os.read(self._in, 2**20)):
                raise RuntimeError("the browser has gone")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open(self, path: Path, scheme: str = "light") -> None:
        """Load a file, with the reader's preference for light or dark."""
        self.events = []
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])
        self.call("Page.navigate", url=path.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(str(result["exceptionDetails"]))
        return result["result"].get("value")

    def press(self, key: str) -> None:
        """A key of `KEYS`, pressed and released."""
        text = {"text": "\r"} if key == "Enter" else {}
        code = {"key": key, "windowsVirtualKeyCode": KEYS[key]}
        self.call("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **code)

    def close(self) -> None:
        """End the browser."""
        self._session = {}
        try:
            self.call("Browser.close")
        except (RuntimeError, OSError):
            os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._in)
        os.close(self._out)


def _spawn(command: list[str], commands: int, answers: int) -> int:
    """Start the browser, which reads commands from descriptor 3 and answers on 4; its id."""
    # Out of the way of 3 and 4 first.
    moved = [fcntl.fcntl(pipe, fcntl.F_DUPFD_CLOEXEC, 10) for pipe in (commands, answers)]
    actions = [(os.POSIX_SPAWN_DUP2, pipe, 3 + number) for number, pipe in enumerate(moved)]
    for stream in (1, 2):
        actions.append((os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0))
    process = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
    for pipe in (commands, answers, *moved):
        os.close(pipe)
    return process
