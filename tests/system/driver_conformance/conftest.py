import pytest

from adapter import ALL
from swarms import swarm, swarm_session  # noqa: F401


@pytest.fixture(params=ALL, ids=lambda kind: kind.name)
def driver(request, tmp_path):
    """A driver with its engine running, and nothing of ours in it."""
    what = request.function.__name__.removeprefix("test_")
    if what in request.param.cannot:
        pytest.skip(request.param.cannot[what])
    folder = tmp_path / "engine"
    folder.mkdir()
    adapter = request.param(folder)
    try:
        adapter.begin(request.getfixturevalue)
        yield adapter
    finally:
        adapter.end()


@pytest.fixture
def serve(make, driver):
    """A plimsoll with the service `shop` on this driver, started."""

    def new(count=2, most=10, start=True, more="", scale="", **section):
        p = make(config=f"""
{driver.top()}
services:
  shop:
    listen: ["127.0.0.1:@PORT@"]
    drain: 20s
    {driver.section(**section)}
    scale:
      min: {count}
      max: {most}
      rules: [{{target: {{metric: concurrency, value: 1000}}}}]
      behavior: {{up: {{at-most: 1000 per 1s}}, down: {{stabilize: 0s, at-most: 1000 per 1s}}}}
{scale}
{more}
""")
        driver.plimsoll = p
        if start:
            p.start()
        return p

    return new
