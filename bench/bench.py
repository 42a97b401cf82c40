"""Measures plimsoll beside nginx and HAProxy: same core, same backend, turn by turn in one run.

Machines are noisy: what counts are the ratios of medians. Everything goes to loopback, is bounded,
and is taken away at the end.
"""

import argparse
import datetime
import itertools
import json
import os
import pathlib
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests" / "system")]

import alone  # noqa: E402
import fleet  # noqa: E402
import peers  # noqa: E402
from plimsoll import Plimsoll, free_port, wait  # noqa: E402

LOADGEN = peers.BUILD / "examples" / "loadgen" / "loadgen"
IDLE_CONNECTIONS = 5000
SMALL_CONNECTIONS = 128
CONNECTIONS = 9000
SLOWER = 0.85  # a pace that the generator cannot keep is tried so much slower


def status(directory):
    p = Plimsoll.__new__(Plimsoll)
    p.state = directory / "state"
    return p.try_status()


def saturate(peer, seconds):
    """64 keep-alive connections, closed loop: CPU microseconds a request, requests a second."""
    before = peer.cpu_us()
    out = subprocess.run(
        ["taskset", "-c", peers.OTHER_CORE, "wrk", "-t1", "-c64", f"-d{seconds}s",
         f"http://127.0.0.1:{peer.port}/"], capture_output=True, text=True, check=True).stdout
    used = peer.cpu_us() - before
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    if re.search(r"Non-2xx|Socket errors", out):
        raise SystemExit(f"bench: {peer.name} failed requests:\n{out}")
    return used / requests, requests / seconds


class TooFast(Exception):
    """The generator, which shares a core with the backend, could not keep the pace."""


def paced(peer, rate, seconds, directory):
    """Open loop at a fixed rate: p50 and p99 in microseconds, from the intended moment of sending."""
    summary = directory / "summary.json"
    subprocess.run(
        ["taskset", "-c", peers.OTHER_CORE, str(LOADGEN), "--target", f"127.0.0.1:{peer.port}",
         "--rate", str(int(rate)), "--duration", str(seconds), "--summary", str(summary)],
        stdout=subprocess.DEVNULL)
    s = json.loads(summary.read_text())
    if s["failed"]:
        raise TooFast(f"{peer.name}: {s['failed']} requests failed at {rate:.0f}/s")
    return s["latency_ms"]["p50"] * 1000, s["latency_ms"]["p99"] * 1000


def pace_all(running, rate, args, directory, result):
    """All at one pace that all could be measured at; returns it."""
    for _ in range(8):
        try:
            measured = [(p.name, *paced(p, rate, args.seconds, directory))
                        for _ in range(args.rounds) for p in running]
        except TooFast as e:
            print(f"bench: {e}; slower", file=sys.stderr)
            rate *= SLOWER
            continue
        for name, p50, p99 in measured:
            result[name]["p50"].append(p50)
            result[name]["p99"].append(p99)
        return rate
    raise SystemExit("bench: no pace that the generator can keep")


def idle_memory(peer):
    """Memory of the proxy process while IDLE_CONNECTIONS keep-alive clients sit idle on it."""
    request = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
    connections = []
    for _ in range(IDLE_CONNECTIONS):
        s = socket.create_connection(("127.0.0.1", peer.port), timeout=10)
        s.sendall(request)
        s.recv(4096)
        connections.append(s)
    used = peer.memory_bytes()
    for s in connections:
        s.close()
    return used


def idle_cost(start):
    """Bytes an idle connection: sized for the connections and full of them, against sized for few and
    empty. So a table that is laid out at the start counts as well as what is allocated later."""
    few = start(SMALL_CONNECTIONS)
    empty = few.memory_bytes()
    few.stop()
    full = start(IDLE_CONNECTIONS + SMALL_CONNECTIONS)
    used = idle_memory(full)
    full.stop()
    return (used - empty) / IDLE_CONNECTIONS


STEP = """
services:
  step:
    listen: "127.0.0.1:@PORT@"
    {limit}
    run:
      command: ["@APP@"]
      env: {{APP_SERVICE_MS: "50", APP_CONCURRENCY: "4"}}
      ready: {{http: /healthz}}
    scale: {{min: 1, max: 4, window: 1s, rules: [target: {{metric: concurrency, value: 4}}],
             behavior: {{down: {{stabilize: 0s}}}}}}
"""


def step_to_decision(directory, limit):
    """From the first request of a burst of 20 to the decision in the journal, in milliseconds."""
    directory.mkdir()
    p = Plimsoll(directory, config=STEP.format(limit=limit)).start()
    try:
        p.wait_ready(1)
        times = []
        for _ in range(5):
            wait(lambda: p.service()["ready"] == 1 and not p.service()["draining"], 60, "calm")
            p.get("/")
            count = len(decisions(p))
            began = time.time()
            threads = [threading.Thread(target=p.get, args=("/",)) for _ in range(20)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            up = wait(lambda: [d for d in decisions(p)[count:] if d["desired"] > d["before"]], 10,
                      "a decision")
            assert up[0]["cause"] == "doorbell", up[0]
            times.append((moment(up[0]["time"]) - began) * 1000)
        return statistics.median(times), max(times)
    finally:
        p.stop()


def decisions(p):
    return [x["decision"] for x in p.journal() if "decision" in x]


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def age_s(pid):
    started = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


def proxy_restart(directory):
    """From kill -9 of the proxy to the next answer on the same port, in milliseconds."""
    directory.mkdir()
    p = Plimsoll(directory, config=STEP.format(limit="")).start()
    try:
        p.wait_ready(1)
        times = []
        for _ in range(7):
            old = p.status()["proxy"]["pid"]
            wait(lambda: age_s(old) > 1.5, 10, "a proxy that is no crash loop")
            began = time.monotonic()
            os.kill(old, 9)
            while True:
                try:
                    if p.get("/", timeout=5)[0] == 200:
                        break
                except (OSError, Exception):
                    pass
            times.append((time.monotonic() - began) * 1000 - 50)  # the app's own 50 ms
            wait(lambda: p.status()["proxy"]["pid"] not in (0, old), 10, "the new proxy")
        return statistics.median(times), max(times)
    finally:
        p.stop()


def cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def verdict(value, limit):
    return "met" if value <= limit else "**not met**"


def measure(args, directory):
    log = open(directory / "servers.log", "wb")
    running = []
    try:
        ours, backend = peers.start_plimsoll(directory / "p0", free_port(), log, status, CONNECTIONS)
        running = [ours, peers.start_nginx(directory, free_port(), backend, log, CONNECTIONS),
                   peers.start_haproxy(directory, free_port(), backend, log, CONNECTIONS)]
        result = {p.name: {"version": p.version, "cpu": [], "rps": [], "p50": [], "p99": []}
                  for p in running}
        for p in running:
            saturate(p, 1)
        for _ in range(args.rounds):
            for p in running:
                cpu, rps = saturate(p, args.seconds)
                result[p.name]["cpu"].append(cpu)
                result[p.name]["rps"].append(rps)
        rate = pace_all(running, 0.7 * statistics.median(result["HAProxy"]["rps"]), args, directory,
                        result)
        numbers = itertools.count(1)
        starts = {
            "plimsoll": lambda n: peers.start_plimsoll(
                directory / f"p{next(numbers)}", free_port(), log, status, n)[0],
            "nginx": lambda n: peers.start_nginx(directory, free_port(), backend, log, n),
            "HAProxy": lambda n: peers.start_haproxy(directory, free_port(), backend, log, n),
        }
        for name, start in starts.items():
            result[name]["idle"] = idle_cost(start)
        return result, rate
    finally:
        for p in reversed(running):
            p.stop()


def report(args, result, rate, steps, restart):
    med = {n: {k: statistics.median(v) for k, v in r.items() if isinstance(v, list)}
           for n, r in result.items()}
    ours, nginx, haproxy = med["plimsoll"], med["nginx"], med["HAProxy"]
    idle = {n: r["idle"] for n, r in result.items()}
    lines = [
        "- versions: " + ", ".join(f"{n} {r['version']}" for n, r in result.items()),
        f"- each proxy alone on core {peers.PROXY_CORE} with one worker, backend (nginx) and load on "
        f"core {peers.OTHER_CORE}; TCP, keep-alive, 100-byte body, no access log",
        f"- {args.rounds} rounds of {args.seconds} s each, turn by turn", "",
        "| proxy | CPU us a request | requests a second, 64 connections | p50 us | p99 us | bytes an idle "
        "connection |", "|---|---|---|---|---|---|",
    ]
    for name in result:
        m = med[name]
        lines.append(f"| {name} | {m['cpu']:.1f} | {m['rps']:.0f} | {m['p50']:.0f} | {m['p99']:.0f} | "
                     f"{idle[name]:.0f} |")
    lines += [
        "", f"Idle connection: memory (Pss) with {IDLE_CONNECTIONS} idle keep-alive clients and room for as "
        f"many, less that of a fresh one with room for {SMALL_CONNECTIONS}, divided by them.",
        "", f"p50 and p99: open loop at {rate:.0f} requests a second, 70 % of HAProxy's saturation "
        "or less, where the generator could not keep that pace; "
        "counted from the intended moment of sending.", "",
        "| goal | measured | |", "|---|---|---|",
        f"| CPU a request at most nginx's | {ours['cpu'] / nginx['cpu']:.2f} x nginx, "
        f"{ours['cpu'] / haproxy['cpu']:.2f} x HAProxy | {verdict(ours['cpu'], nginx['cpu'])} |",
        f"| p99 at most HAProxy's | {ours['p99'] / haproxy['p99']:.2f} x HAProxy, "
        f"{ours['p99'] / nginx['p99']:.2f} x nginx | {verdict(ours['p99'], haproxy['p99'])} |",
        f"| memory of an idle connection at most nginx's | {idle['plimsoll'] / idle['nginx']:.2f} x nginx, "
        f"{idle['plimsoll'] / idle['HAProxy']:.2f} x HAProxy | "
        f"{verdict(idle['plimsoll'], idle['nginx'])} |",
    ]
    for name, (median, worst) in steps.items():
        lines.append(f"| load step to decision, {name}, at most 100 ms | median {median:.1f} ms, worst of 5 "
                     f"{worst:.1f} ms | {verdict(worst, 100)} |")
    lines.append(f"| killed proxy to the next answer, at most 100 ms | median {restart[0]:.1f} ms, worst of 7 "
                 f"{restart[1]:.1f} ms | {verdict(restart[1], 100)} |")
    return "\n".join(lines) + "\n"


HEAD = """# Measurements

Written by `make bench`; nothing here is typed in by hand. Ratios of medians count, single numbers depend on a shared
machine.
"""


def proxies(args, directory):
    directory.mkdir()
    directory.chmod(0o755)
    result, rate = measure(args, directory)
    steps = {"max-concurrency set": step_to_decision(directory / "s1", "max-concurrency: 4"),
             "without": step_to_decision(directory / "s2", "")}
    return report(args, result, rate, steps, proxy_restart(directory / "s3"))


# Parts of the table: what --only calls them, their headings, and who measures them.
PARTS = {
    "proxies": ("Beside nginx and HAProxy", proxies),
    "engines": ("Engines and leases", lambda args, directory: fleet.report(directory)),
    "core": ("The core and the simulator alone", lambda args, directory: alone.report()),
}


def version():
    return subprocess.run([str(peers.BUILD / "plimsoll"), "version"], check=True, capture_output=True,
                          text=True).stdout.splitlines()[0]


def section(name, args, directory):
    title, measured = PARTS[name]
    text = measured(args, directory / name)
    return (f"\n## {title}\n\nMeasured {datetime.date.today().isoformat()}: {version()} on {cpu_model()}, "
            f"{os.cpu_count()} cores, Linux {platform.release()}.\n\n{text.strip()}\n")


def merge(old, sections):
    """The whole table: new parts, and those of before that were not measured now."""
    found = {title: "\n## " + rest for title, rest in
             ((part.split("\n", 1)[0], part) for part in old.split("\n## ")[1:])}
    return HEAD + "".join(sections.get(name) or found.get(title, "").rstrip("\n") + "\n"
                          for name, (title, _) in PARTS.items() if name in sections or title in found)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=PARTS, help="measure one part, and leave the others as they are")
    parser.add_argument("--containers", type=int, default=fleet.CONTAINERS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--no-write", action="store_true", help="print only")
    args = parser.parse_args()
    for tool in ("nginx", "haproxy", "wrk", "taskset"):
        if not shutil.which(tool):
            raise SystemExit(f"bench: {tool} is missing: run `make deps`")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="plimsoll-bench-"))
    directory.chmod(0o755)
    fleet.CONTAINERS = args.containers
    names = [args.only] if args.only else list(PARTS)
    try:
        sections = {name: section(name, args, directory) for name in names}
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print("".join(sections.values()))
    results = HERE / "RESULTS.md"
    if not args.no_write:
        results.write_text(merge(results.read_text() if results.exists() else "", sections))


if __name__ == "__main__":
    main()
