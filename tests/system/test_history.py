"""Rules that learn are told what the store remembers: after a start, and after a reload."""

import sqlite3
import time

from plimsoll import wait

CONFIG = """
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    run: {command: ["@APP@"], ready: {http: /healthz}}
    scale:
      min: 1
      max: 8
      rules:
        - target: {metric: concurrency, value: 4}
        - predictive: {metric: concurrency, value: 4}
"""


def remember(p, metric, days, value):
    """Minutes of the past, as the store keeps them, until now."""
    end = int(time.time()) // 60 * 60
    with sqlite3.connect(p.state / "plimsoll.db") as db:
        db.execute("INSERT OR IGNORE INTO series(service, metric, number) VALUES('shop', ?, 0)", [metric])
        [row] = db.execute("SELECT id FROM series WHERE service='shop' AND metric=? AND number=0", [metric])
        db.executemany(
            "INSERT OR REPLACE INTO points(series, step, at, avg, min, max, count)"
            " VALUES(?, 60, ?, ?, ?, ?, 60)",
            [(row[0], at, v, v, v) for at in range(end - days * 86400, end, 60) for v in [value(at)]],
        )


def histories(p):
    return [line["event"]["history"] for line in p.journal()
            if line.get("event", {}).get("type") == "history"]


def minutes(history):
    """How many values there are in the list of runs."""
    return sum(int(word.partition("*")[2] or 1) for word in history["values"].split())


def test_the_past_comes_after_a_start_and_a_reload(make):
    p = make(config=CONFIG).start()
    p.wait_ready(1)
    p.stop()
    remember(p, "concurrency", 20, lambda at: 12 if at % 86400 < 43200 else 2)
    p.start()
    p.wait_ready(1)
    told = wait(lambda: [h for h in histories(p) if h["metric"] == "concurrency" and minutes(h) > 20000],
                20, "the past in the journal")
    assert minutes(told[0]) <= 15 * 1440 and told[0]["step_us"] == 60_000_000
    assert abs(told[0]["wall_us"] / 1e6 - (time.time() - 15 * 86400)) < 180
    opinion = next(o for o in p.why("shop")["current"]["opinions"] if o["rule"].startswith("predict"))
    assert "season" not in opinion["text"] or "under two" not in opinion["text"], opinion
    before = len(histories(p))
    p.write_config(CONFIG.replace("max: 8", "max: 7"))
    p.cli("reload")
    wait(lambda: len(histories(p)) > before, 20, "the past after a reload")
    p.kill_role("controller")  # what was learned is in the journal's snapshot
    p.wait_live()


def test_without_a_rule_that_learns_nothing_is_read(make):
    lines = [line for line in CONFIG.splitlines() if "predictive" not in line]
    p = make(config="\n".join(lines)).start()
    p.wait_ready(1)
    remember(p, "concurrency", 1, lambda at: 1)
    p.cli("reload")
    wait(lambda: sum(line.get("event", {}).get("type") == "tick" for line in p.journal()) > 3, 20, "ticks")
    assert not histories(p)
