"""The page that `plimsoll simulate --html` writes, as a browser shows it."""

import json
import math
import subprocess

import pytest

import browser
from plimsoll import PROGRAM, SLOW

HOSTILE = "shop</script><img src=x onerror=alert(1)>'\"&.csv"


def load(path, hours):
    rows = (f"{60 * n},{200 + 150 * math.sin(n / 60):.2f}" for n in range(60 * hours))
    path.write_text("t_seconds,rps\n" + "\n".join(rows) + "\n")
    return path


def simulate(trace, page, *more):
    p = subprocess.run([str(PROGRAM), "simulate", "--trace", str(trace), "--html", str(page),
                        *more], capture_output=True, text=True, timeout=120 * SLOW)
    assert p.returncode == 0, p.stderr
    return p.stdout


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    assert browser.PROGRAM, "chromium is missing: run `make deps`"
    b = browser.Browser(tmp_path_factory.mktemp("profile"))
    yield b
    b.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    path = folder / "page.html"
    simulate(load(folder / HOSTILE.replace("/", "∕"), 24), path, "--against", "hpa,knative",
             "--cost", "0.1")
    return path


def box(tab, chart):
    return tab.evaluate("(() => { const r = document.querySelectorAll('#charts > svg')"
                        f"[{chart}].getBoundingClientRect();"
                        "return [r.left, r.top, r.width, r.height] })()")


@pytest.mark.parametrize("dark", [False, True])
def test_it_loads_without_a_word(tab, page, dark):
    tab.open(page, dark=dark)
    assert tab.complaints() == []
    assert tab.requests() == [f"file://{page}"]
    assert tab.evaluate("document.querySelectorAll('#charts > svg').length") == 5
    rows = tab.evaluate("[...document.querySelectorAll('#score tbody th')].map(e => e.textContent)")
    assert rows == ["plimsoll", "hpa", "knative"]
    assert tab.evaluate("document.querySelectorAll('img').length") == 0
    paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") != dark


def test_the_score_is_the_commands_own(tab, page):
    tab.open(page)
    score = tab.evaluate("data.runs.map(run => [run.score.violations, run.score.instance_hours])")
    trace = next(p for p in page.parent.iterdir() if p.suffix == ".csv")
    again = page.parent / "again.html"
    said = json.loads(simulate(trace, again, "--against", "hpa,knative", "--json"))
    for mine, run in zip(score, said["runs"]):
        assert mine[0] == pytest.approx(run["score"]["violations"], rel=1e-5)
        assert mine[1] == pytest.approx(run["score"]["instance_hours"], rel=1e-5)


def test_pointing_shows_values_and_reasons(tab, page):
    tab.open(page)
    left, top, width, height = box(tab, 1)
    assert tab.evaluate("document.getElementById('readout').hidden")
    tab.mouse("mouseMoved", left + 0.7 * width, top + height / 2)
    said = tab.evaluate("document.getElementById('readout').innerText")
    assert "plimsoll:" in said and "requests/s on" in said and "→" in said
    reasons = tab.evaluate("data.runs.map(run => reason(run.decisions,"
                           " latest_decision(run, view.at)))")
    assert all(reason and reason in said for reason in reasons)
    tab.mouse("mouseMoved", 5, 5)
    assert tab.evaluate("document.getElementById('readout').hidden")


def test_keys_do_what_the_mouse_does(tab, page):
    tab.open(page)
    tab.evaluate("document.querySelectorAll('#charts > svg')[1].focus()")
    tab.key("n")
    first = tab.evaluate("Math.min(...data.runs.map(run => run.decisions.t[0]))")
    assert tab.evaluate("view.at") == first
    assert "→" in tab.evaluate("document.getElementById('readout').innerText")
    tab.key("n")
    assert tab.evaluate("view.at") > first
    tab.key("p")
    assert tab.evaluate("view.at") == first
    tab.key("ArrowRight")
    assert tab.evaluate("view.at") > first
    tab.key("+")
    assert tab.evaluate("view.to - view.from") < tab.evaluate("data.seconds") * 0.6
    tab.key("Escape")
    assert tab.evaluate("[view.from, view.to]") == [0, tab.evaluate("data.seconds")]
    assert tab.complaints() == []


def test_dragging_zooms(tab, page):
    tab.open(page)
    left, top, width, height = box(tab, 0)
    for kind, share in [("mousePressed", 0.4), ("mouseMoved", 0.5), ("mouseReleased", 0.5)]:
        tab.mouse(kind, left + share * width, top + height / 2, button="left", clickCount=1)
    span = tab.evaluate("view.to - view.from")
    assert 0.05 < span / tab.evaluate("data.seconds") < 0.2


def test_policies_can_be_hidden_and_decisions_listed(tab, page):
    tab.open(page)
    before = tab.evaluate("document.querySelectorAll('#charts .run').length")
    tab.evaluate("document.querySelector('#policies input').click()")
    assert tab.evaluate("document.querySelectorAll('#charts .run').length") == before * 2 // 3
    tab.evaluate("document.querySelector('#decisions details').open = true;"
                 "new Promise(done => setTimeout(done))")
    rows = tab.evaluate("document.querySelectorAll('#decisions tbody tr').length")
    assert rows == min(tab.evaluate("data.runs[0].decision_count"), 2000) > 0


def test_every_control_is_named_and_reachable(tab, page):
    tab.open(page)
    tree = tab.call("Accessibility.getFullAXTree")["nodes"]
    charts = [n["name"]["value"] for n in tree if n.get("role", {}).get("value") == "image"]
    assert len([name for name in charts if "Instances: ready" in name]) == 1
    boxes = [n["name"]["value"].strip() for n in tree
             if n.get("role", {}).get("value") == "checkbox"]
    assert boxes == ["plimsoll", "hpa", "knative"]


def test_a_long_run_stays_quick(tab, tmp_path):
    path = tmp_path / "long.html"
    simulate(load(tmp_path / "long.csv", 14 * 24), path, "--against", "knative")
    assert path.stat().st_size < 6 << 20
    tab.open(path)
    assert tab.evaluate("data.runs[0].points.t.length") >= 1000
    took_ms = tab.evaluate("(() => { const begin = performance.now(); draw();"
                           "return performance.now() - begin })()")
    assert took_ms < 500 * SLOW
    assert tab.complaints() == []
