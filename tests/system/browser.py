"""A Chromium without a window, spoken to over its debugging pipe: no port, no driver, no library.

The protocol is Chromium's own: https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time

from plimsoll import SLOW

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
WITHIN = 60 * SLOW
COMPLAINTS = {"Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"}
REQUESTS = {"Network.requestWillBeSent"}


class Browser:
    def __init__(self, profile):
        commands_out, self.commands = os.pipe()
        self.answers, answers_in = os.pipe()
        # The child reads on 3 and writes on 4; both may be taken here, so from far above.
        given = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in (commands_out, answers_in)]

        def place():
            os.dup2(given[0], 3)
            os.dup2(given[1], 4)

        self.process = subprocess.Popen(
            [PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=place, close_fds=False, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        for fd in (commands_out, answers_in, *given):
            os.close(fd)
        self.unread, self.last_id, self.events = b"", 0, []
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Runtime", "Log", "Page", "Network"):
            self.call(f"{domain}.enable")

    def receive(self):
        deadline = time.monotonic() + WITHIN
        while b"\0" not in self.unread:
            ready = select.select([self.answers], [], [], max(deadline - time.monotonic(), 0))[0]
            assert ready, "the browser says nothing any more"
            piece = os.read(self.answers, 1 << 16)
            assert piece, "the browser is gone"
            self.unread += piece
        message, self.unread = self.unread.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **params):
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.last_id:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def evaluate(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def open(self, path, width=1000, height=1600, dark=False):
        scheme = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)
        self.events.clear()
        self.call("Page.navigate", url=f"file://{path}")
        deadline = time.monotonic() + WITHIN
        while self.evaluate("document.readyState + location.protocol") != "completefile:":
            assert time.monotonic() < deadline, "the page does not load"

    def complaints(self):
        return [e for e in self.events if e["method"] in COMPLAINTS]

    def requests(self):
        return [e["params"]["request"]["url"] for e in self.events if e["method"] in REQUESTS]

    def mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def key(self, name):
        text = {"text": name} if len(name) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=name, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=name)

    def picture(self):
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    def close(self):
        self.session = None
        try:
            self.call("Browser.close")
        except (AssertionError, OSError):
            self.process.terminate()
        self.process.wait(WITHIN)
        os.close(self.commands)
        os.close(self.answers)
