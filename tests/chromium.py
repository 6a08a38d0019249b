"""A headless Chromium, spoken to through its DevTools protocol."""

import base64
import io
import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CHROMIUM = shutil.which("chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--mute-audio"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"]


class Chromium:
    """A headless Chromium, spoken to through its DevTools protocol."""

    def __init__(self, profile: Path):
        self.process = subprocess.Popen(
            [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port = self._wait(lambda: (profile / "DevToolsActivePort").read_text().split()[0])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            tab = next(target for target in json.load(answer) if target["type"] == "page")
        self._speak_to(tab["webSocketDebuggerUrl"])

    def _speak_to(self, url: str) -> None:
        from websockets.sync.client import connect

        self.url, self.socket = url, connect(url, max_size=None, max_queue=None, ping_interval=None)
        self.events: list[dict[str, Any]] = []
        self.number = 0
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def tab(self) -> "Chromium":
        """Another tab, as another person would have it. It is closed with this one."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        other = object.__new__(Chromium)
        other.process = self.process
        other._speak_to(self.url.rpartition("/")[0] + f"/{target}")
        return other

    def _wait(self, ask: Any, seconds: float = 60) -> Any:
        end = time.monotonic() + seconds
        while True:
            try:
                return ask()
            except (OSError, IndexError):
                assert time.monotonic() < end, "Chromium did not start"
                time.sleep(0.05)

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": values}))
        while True:
            message = json.loads(self.socket.recv(timeout=60))
            if message.get("id") == self.number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def js(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not self.js(expression):
            assert time.monotonic() < end, expression
            time.sleep(0.02)

    def open(self, page: Path, width: int = 1280, height: int = 900, **media: str) -> None:
        self.visit(page.as_uri(), width, height, **media)

    def visit(self, url: str, width: int = 1280, height: int = 900, **media: str) -> None:
        self.events.clear()
        self.resize(width, height)
        features = [{"name": "prefers-" + name.replace("_", "-"), "value": value} for name, value in media.items()]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.call("Page.navigate", url=url)
        scheme = url.partition(":")[0]
        self.until(f"document.readyState === 'complete' && location.protocol === '{scheme}:'")

    def resize(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def press(self, key: str) -> None:
        code = {"Enter": 13, " ": 32, "ArrowRight": 39, "ArrowLeft": 37, "Tab": 9}[key]
        text = {"Enter": "\r", " ": " "}.get(key, "")
        values: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **values)
        self.call("Input.dispatchKeyEvent", type="keyUp", **values)

    def picture(self) -> np.ndarray:
        """uint8 (h w 3): what is on the screen, all of it at one moment."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))

    def close(self) -> None:
        self.socket.close()
        self.process.terminate()
        self.process.wait(20)
