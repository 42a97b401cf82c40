"""Measures the core and the simulator alone: no network, no peers, one core."""

import json
import re
import statistics
import subprocess
import time

import peers

BENCH = peers.BUILD / "bench"
ROOT = peers.ROOT
ROUNDS = 3


def lines_of(program, *args):
    return subprocess.run(["taskset", "-c", peers.PROXY_CORE, str(BENCH / program), *args],
                          capture_output=True, text=True, check=True).stdout.splitlines()


def core():
    """{services: (tick ms, sample us, MB)}, medians."""
    found = {}
    for _ in range(ROUNDS):
        for line in lines_of("core_bench"):
            m = re.match(r"\s*(\d+) services.*full tick\s+([\d.]+) ms .*; ([\d.]+) us for.*, ([\d.]+) MB",
                         line)
            if m:
                found.setdefault(int(m[1]), []).append(tuple(float(x) for x in m.groups()[1:]))
    return {n: tuple(statistics.median(x) for x in zip(*rows)) for n, rows in found.items()}


def simulator():
    """{policy: seconds of a year}, {service time: requests a second}; it takes the best of three."""
    years, requests = {}, {}
    for x in map(json.loads, lines_of("sim_bench")):
        if x["fidelity"] == "tick":
            years[x["policy"]] = x["seconds"]
        else:
            requests[x["service"]] = x["requests_per_s"]
    return years, requests


def score():
    """Seconds of a whole `make score`, on all cores."""
    begin = time.monotonic()
    subprocess.run([str(peers.BUILD / "plimsoll"), "score", "--compare", "tests/score.expected",
                    *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "traces").glob("*.csv"))],
                   cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - begin


def verdict(value, goal):
    return "met" if value <= goal else "**not met**"


def report():
    ticks, (years, requests), score_s = core(), simulator(), score()
    tick_ms, sample_us, megabytes = ticks[10000]
    lines = [
        f"One core (but for the score), medians of {ROUNDS}, the simulator's the best of three. A full "
        "tick is one sample event for each service and a tick, "
        "5 rules and 10 metrics each.", "",
        "| services | full tick ms | us a service | sample event us | MB |", "|--:|--:|--:|--:|--:|",
    ]
    for n, (ms, us, mb) in sorted(ticks.items()):
        lines.append(f"| {n} | {ms:.2f} | {1000 * ms / n:.2f} | {us:.2f} | {mb:.1f} |")
    lines += ["", "| goal | measured | |", "|---|---|---|",
              f"| a sample event at most 1 us | {sample_us:.2f} us | {verdict(sample_us, 1)} |",
              f"| 10,000 services: a full tick at most 50 ms | {tick_ms:.1f} ms | {verdict(tick_ms, 50)} |",
              f"| 10,000 services: at most 400 MB | {megabytes:.1f} MB | {verdict(megabytes, 400)} |"]
    for name, seconds in years.items():
        lines.append(f"| a simulated year at 1 s steps at most 5 s, {name} | {seconds:.1f} s | "
                     f"{verdict(seconds, 5)} |")
    for name, rate in requests.items():
        lines.append(f"| simulated requests at least 5 million a second, {name} service times | "
                     f"{rate / 1e6:.1f} million | {verdict(5e6, rate)} |")
    lines.append(f"| a whole `make score` at most 5 minutes on two cores | {score_s:.0f} s | "
                 f"{verdict(score_s, 300)} |")
    return "\n".join(lines) + "\n"
