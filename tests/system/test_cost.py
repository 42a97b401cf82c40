"""What instances cost and draw: in `status`, its JSON and /metrics; and what a budget has spent."""

import re
import sqlite3
import time

from plimsoll import free_port, wait

CONFIG = """
energy: {carbon: 400}
budgets:
  team: {per-hour: 3.5, per-day: 1000, currency: EUR}
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    run: {command: ["@APP@"], ready: {http: /healthz}}
    sources:
      jobs: {push: {}, every: 60s}
    scale:
      min: 1
      max: 8
      cost: 0.5
      watts: 40
      budget: team
      rules:
        - target: {metric: jobs, value: 1}
  web:
    run: {command: [sleep, "1000"]}
    scale: {min: 2, max: 2}
"""


def metric(p, name, **labels):
    text = p.api("GET", "/metrics")[1]
    wanted = ",".join(f'{k}="{v}"' for k, v in labels.items())
    found = re.search(rf"^plimsoll_{name}{{{re.escape(wanted)}}} (\S+)$", text, re.M)
    return float(found[1]) if found else None


def test_cost_energy_and_budget(make):
    p = make(config=CONFIG, admin=f"127.0.0.1:{free_port()}").start()
    p.wait_ready(1)
    p.api("POST", "/v1/services/shop/metrics", {"jobs": 5})
    wait(lambda: p.service("shop")["ready"] == 5, 20, "five instances")
    cost = wait(lambda: (c := p.service("shop")["cost"]) and c["per_hour"] == 2.5 and c, 20, "the cost")
    assert cost["watts"] == 200 and cost["co2_grams_per_hour"] == 80
    wait(lambda: p.service("shop")["cost"]["today"] > 0.001, 20, "money to be spent")
    cost = p.service("shop")["cost"]
    # All three are the same time of the same instances: per hour 0.5 money, 0.04 kWh, 16 g.
    assert abs(cost["kwh_today"] / cost["today"] - 0.08) < 1e-6
    assert abs(cost["co2_grams_today"] / cost["today"] - 32) < 1e-3
    assert p.service("web")["cost"] is None
    assert metric(p, "service_cost_per_hour", service="shop") == 2.5
    assert metric(p, "service_power_watts", service="shop") == 200
    assert metric(p, "service_cost_per_hour", service="web") is None
    [budget] = p.status()["budgets"]
    assert budget["name"] == "team" and budget["currency"] == "EUR" and budget["month"] is None
    assert budget["hour"]["ceiling"] == 3.5 and budget["day"]["ceiling"] == 1000
    wait(lambda: p.status()["budgets"][0]["hour"]["spent"] > 0.001, 20, "the budget to be spent")
    assert metric(p, "budget_ceiling", budget="team", period="hour") == 3.5
    shown = p.cli("status").stdout
    assert "shop costs: 2.5" in shown and "200 W" in shown, shown


def test_a_budget_bounds_and_says_so(make):
    p = make(config=CONFIG).start()
    p.wait_ready(1)
    p.api("POST", "/v1/services/shop/metrics", {"jobs": 8})
    wait(lambda: p.service("shop")["desired"] == 7, 20, "what 3.5 an hour pays for")
    def shown():
        line = re.search(r"^budget team: (.*)", p.cli("status").stdout, re.M)[1]
        return re.match(r"3\.50 of 3\.50 EUR an hour running \(shop yields 1\); "
                        r"0\.\d\d of 1000\.00 today$", line)

    wait(shown, 20, "what runs and who yields, in `status`")
    assert p.status()["budgets"][0]["yields"] == {"shop": 1}
    wait(lambda: any(step["limit"] == "budget" and (step["from"], step["to"]) == (8, 7)
                     for d in p.why("shop")["decisions"] for step in d["steps"]), 20, "the step")


def test_today_survives_a_restart(make):
    """The minutes that are over come from the store; a restart within one loses that at most."""
    p = make(config=CONFIG).start()
    p.wait_ready(1)
    wait(lambda: (c := p.service("shop")["cost"]) and c["today"] > 0, 20, "money to be spent")
    p.stop()
    now = time.localtime()
    midnight = int(time.mktime((now.tm_year, now.tm_mon, now.tm_mday, 0, 0, 0, 0, 0, -1)))
    begin = max(midnight, int(time.time()) // 60 * 60 - 7200)
    minutes = range(begin // 60 * 60, int(time.time()) // 60 * 60 - 60, 60)
    with sqlite3.connect(p.state / "plimsoll.db") as db:
        db.execute("INSERT OR IGNORE INTO series(service, metric, number) VALUES('shop', '@cost', 0)")
        [row] = db.execute("SELECT id FROM series WHERE service='shop' AND metric='@cost' AND number=0")
        db.executemany("INSERT OR REPLACE INTO points VALUES(?, 60, ?, 3, 3, 3, 60)",
                       [(row[0], at) for at in minutes])
    p.start()
    expected = 3 / 60 * len(minutes)
    wait(lambda: (c := p.service("shop")["cost"]) and expected <= c["today"] < expected + 0.5, 20,
         f"what was spent before: {expected}")
