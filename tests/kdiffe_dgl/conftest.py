"""Runs for the tests of commands, and a real browser for those of pages (skipped where there is none)."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kdiffe_dgl.training.config import resolve
from kdiffe_dgl.training.run import train_run

# Helpers that several test files import lie beside them.
if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))

SMALL = ["model.dim=8", "training.epochs=1", "training.batch_size=16"]
NAMES = ("chromium-headless-shell", "chromium", "google-chrome")


class Browser:
    """One page of a headless Chromium, driven over a pair of pipes by the DevTools protocol.

    Attributes
    ----------
    requests
        Addresses that the page asked for, blocked ones too.
    complaints
        Exceptions, and errors and warnings of the console.
    """

    def __init__(self, program: str, profile: Path) -> None:
        (commands, self._write), (self._read, answers) = os.pipe(), os.pipe()
        # The browser reads commands from descriptor 3 and answers on 4; out of the way of these two first.
        theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 50) for end in (commands, answers)]
        shell = ["bash", "-c", f'exec "$@" 3<&{theirs[0]} 4>&{theirs[1]}', "browser"]
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        options.append("--remote-debugging-pipe")
        self._process = subprocess.Popen(
            [*shell, program, *options, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=theirs,
        )  # fmt: skip
        for end in (commands, answers, *theirs):
            os.close(end)
        self._rest, self._number, self._session = b"", 0, {}
        self.requests: list[str] = []
        self.complaints: list[str] = []
        target = next(one for one in self("Target.getTargets")["targetInfos"] if one["type"] == "page")
        attached = self("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Network", "Runtime", "Log"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Carry out a command and return its result."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters, **self._session}
        os.write(self._write, json.dumps(command).encode() + b"\0")
        while (message := self._message()).get("id") != self._number:
            self._note(message)
        assert "error" not in message, message["error"]
        result: dict[str, Any] = message["result"]
        return result

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            found = os.read(self._read, 1 << 16)
            assert found, "the browser has ended"
            self._rest += found
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        name, told = message.get("method"), message.get("params", {})
        if name == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif name == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"]))
        elif name == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(told["args"]))
        elif name == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(told["entry"]["text"])

    def open(self, file: Path, width: int = 1200, height: int = 900) -> None:
        """Load a file and wait until it is there; what was noted before is forgotten."""
        self.requests, self.complaints = [], []
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self("Emulation.setDeviceMetricsOverride", **size)
        self("Page.navigate", url=file.as_uri())
        while self.tell("document.readyState") != "complete" or self.tell("location.href") == "about:blank":
            pass

    def tell(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript."""
        answer = self("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def point(self, selector: str, click: bool = False) -> None:
        """Move the mouse to the middle of the first element that a selector finds, and perhaps click it."""
        box = self.tell(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)}); "
            "one.scrollIntoView({block: 'center'}); const box = one.getBoundingClientRect(); "
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        place = {"x": box[0], "y": box[1]}
        self("Input.dispatchMouseEvent", type="mouseMoved", **place)
        for kind in ("mousePressed", "mouseReleased") if click else ():
            self("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def picture(self) -> bytes:
        """Return the whole page as PNG."""
        return base64.b64decode(self("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def close(self) -> None:
        """End the browser."""
        os.close(self._write)
        os.close(self._read)
        self._process.terminate()
        self._process.wait(timeout=20)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless browser with one page."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no headless browser here")
    started = Browser(program, tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, tiny_dataset: Any) -> Path:
    """Return a folder with the data set, a run of kdiffe and one of lightgcn."""
    folder = tmp_path_factory.mktemp("runs")
    tiny_dataset.save(folder / "data")
    train_run(tiny_dataset, folder / "run", resolve({}, SMALL), seed=1)
    train_run(tiny_dataset, folder / "other", resolve({"model": {"name": "lightgcn"}}, SMALL), seed=1)
    return folder
