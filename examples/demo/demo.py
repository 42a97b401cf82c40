"""Starts plimsoll in front of the example app, replays a recorded load on it, shows what happens as it
happens, and adds up what came of it. Everything lies in a temporary directory and ends with the
demo."""
import csv
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import chart

HERE = os.path.dirname(os.path.abspath(__file__))
TRACE = os.path.join(HERE, "wc98_two_hours.csv")
OUT = os.path.join(HERE, "out")

SECONDS = float(os.environ.get("DEMO_SECONDS", "150"))
PEAK = float(os.environ.get("DEMO_PEAK", "400"))
WORKERS = 24         # of one instance
SERVICE_MS = 300     # of one request
TARGET = 16          # requests in flight that an instance should have
MAX = 16
# What a person would have to run all the time to carry the peak in the same comfort.
FIXED = math.ceil(PEAK * SERVICE_MS / 1000 / TARGET)

CONFIG = """\
admin: "off"
services:
  app:
    listen: ["127.0.0.1:{port}"]
    max-concurrency: {workers}
    run:
      command: [{app}]
      env: {{APP_CONCURRENCY: "{workers}", APP_SERVICE_MS: "{service_ms}", APP_START_MS: "300"}}
      ready: {{http: /healthz, within: 10s}}
    scale:
      min: 1
      max: {max}
      window: {window}s
      rules:
        - target: {{metric: concurrency, value: {target}}}
      behavior:
        down: {{stabilize: {calm}s}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Plimsoll:
    def __init__(self, build, directory):
        self.program = os.path.join(build, "plimsoll")
        self.state = os.path.join(directory, "state")
        self.port = free_port()
        self.log_path = os.path.join(directory, "plimsoll.log")
        self.config = os.path.join(directory, "demo.yaml")
        # The curve is compressed, so the windows are too: a minute of the site is about a second.
        window = max(2, round(SECONDS / 30))
        with open(self.config, "w") as f:
            f.write(CONFIG.format(port=self.port, workers=WORKERS, service_ms=SERVICE_MS, max=MAX,
                                  target=TARGET, window=window, calm=2 * window,
                                  app=os.path.join(build, "examples", "app", "app")))
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(
                [self.program, "run", self.config, "--state", self.state], stdout=log, stderr=log,
                start_new_session=True)

    def ask(self, *words):
        result = subprocess.run([self.program, *words, "--state", self.state, "--json"],
                                capture_output=True, text=True)
        return json.loads(result.stdout) if result.returncode == 0 else None

    def wait_until_ready(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            status = self.ask("status")
            if status and status["services"] and status["services"][0]["ready"] >= 1:
                return
            time.sleep(0.05)
        with open(self.log_path) as log:
            sys.exit("plimsoll did not start:\n" + log.read())

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGTERM)
                self.process.wait(20)


class Watcher(threading.Thread):
    """Looks at the service four times a second: what there is, and instance-seconds."""

    def __init__(self, plimsoll):
        super().__init__(daemon=True)
        self.plimsoll = plimsoll
        self.ended = threading.Event()
        self.began = time.monotonic()
        self.points = []        # (t, existing, ready, desired, in flight, queued)
        self.instance_seconds = 0.0
        self.error = None

    def run(self):
        try:
            self.watch()
        except Exception as error:
            self.error = error

    def watch(self):
        before = time.monotonic()
        while not self.ended.wait(0.25):
            status = self.plimsoll.ask("status")
            now = time.monotonic()
            if not status:
                continue
            s = status["services"][0]
            existing = sum(1 for i in s["instances"] if i["pid"])
            self.instance_seconds += existing * (now - before)
            before = now
            self.points.append((now - self.began, existing, s["ready"], s["desired"],
                                s["in_flight"] or 0, s["queued"] or 0))

    def latest(self):
        return self.points[-1] if self.points else (0, 0, 0, 0, 0, 0)


def bar(value, top, width, sign):
    filled = min(width, round(value / top * width)) if top else 0
    return sign * filled + " " * (width - filled)


def show(second, point):
    _, existing, ready, desired, in_flight, queued = point
    line = (f"{second['t']:4d}s  load {second['rate']:4.0f}/s {bar(second['rate'], PEAK, 20, '#')}  "
            f"in flight {in_flight + queued:4d} {bar(in_flight + queued, PEAK * SERVICE_MS / 1000 * 1.5, 18, '=')}  "
            f"instances {ready:2d}/{desired:2d} {'o' * ready}{'.' * max(0, existing - ready)}")
    failed = second["failed"]
    print(line + (f"  failed {failed}" if failed else ""), flush=True)


def replay(build, plimsoll, directory, watcher):
    summary = os.path.join(directory, "summary.json")
    seconds = os.path.join(directory, "seconds.csv")
    loadgen = subprocess.Popen(
        [os.path.join(build, "examples", "loadgen", "loadgen"), "--target", f"127.0.0.1:{plimsoll.port}",
         "--curve", TRACE, "--compress", str(SECONDS), "--peak", str(PEAK), "--seed", "1998",
         "--live", "--summary", summary, "--csv", seconds],
        stdout=subprocess.PIPE, text=True)
    try:
        for line in loadgen.stdout:
            second = json.loads(line)
            if second["t"] <= SECONDS:
                show(second, watcher.latest())
        loadgen.wait()
    finally:
        if loadgen.poll() is None:
            loadgen.kill()
            loadgen.wait()
    with open(summary) as f, open(seconds) as g:
        return json.load(f), list(csv.DictReader(g))


def recorded_peak():
    with open(TRACE) as f:
        return max(float(line.split(",")[1]) for line in f if line[0].isdigit())


def print_result(summary, watcher, length):
    latency = summary["latency_ms"]
    used, fixed = watcher.instance_seconds, FIXED * length
    most = max(p[1] for p in watcher.points)
    print(f"""
requests          {summary['requests']}
failed            {summary['failed']}
latency           p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms (of which the app itself: \
{SERVICE_MS} ms)
instance-seconds  {used:.0f}, at most {most} instances at a time
a fixed fleet     {FIXED} instances for the peak: {fixed:.0f} instance-seconds
saved             {100 * (1 - used / fixed):.0f} %""")


def main():
    build = os.path.abspath(sys.argv[1])
    directory = tempfile.mkdtemp(prefix="plimsoll-demo-")
    os.chmod(directory, 0o755)  # the proxy, another user when root runs this, looks in
    plimsoll = watcher = None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        print(f"""Two busy hours of the 1998 World Cup site, recorded then, replayed now: 120 minutes in {SECONDS:.0f} seconds,
the peak of {recorded_peak():.0f} requests a second scaled to {PEAK:.0f}, which two cores carry. Open loop: requests come when
they come. An instance of the app answers {WORKERS} requests at a time, {SERVICE_MS} ms each. The rule: {TARGET} in flight per instance.
""", flush=True)
        plimsoll = Plimsoll(build, directory)
        plimsoll.wait_until_ready()
        watcher = Watcher(plimsoll)
        watcher.start()
        began = time.monotonic()
        summary, seconds = replay(build, plimsoll, directory, watcher)
        length = time.monotonic() - began
        watcher.ended.set()
        watcher.join()
        if watcher.error:
            raise watcher.error
        print_result(summary, watcher, length)
        os.makedirs(OUT, exist_ok=True)
        path = os.path.join(OUT, "demo.svg")
        with open(path, "w") as f:
            f.write(chart.draw(seconds, watcher.points, length, FIXED))
        shutil.copy(plimsoll.log_path, OUT)
        print(f"chart             {os.path.relpath(path)}")
        return 0 if summary["failed"] == 0 else 1
    except KeyboardInterrupt:
        print("\nstopped")
        return 130
    finally:
        if watcher:
            watcher.ended.set()
        if plimsoll:
            plimsoll.stop()
        shutil.rmtree(directory, ignore_errors=True)


sys.exit(main())
