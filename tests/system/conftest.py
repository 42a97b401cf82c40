import pytest

from engines import docker, docker_session  # noqa: F401  fixtures
from plimsoll import APP, PROGRAM, Plimsoll, let_in
from swarms import swarm, swarm_of_three, swarm_session  # noqa: F401  fixtures


def pytest_sessionstart(session):
    for program in (PROGRAM, APP):
        if not program.exists():
            pytest.exit(f"{program} is missing: run `make` first", 2)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """For more than one worker: a file stays with one, and all that needs a Swarm, which takes ports of the
    whole machine, too. The Swarm's begin first, for they take longest."""
    def group(item):
        return "swarm" if "swarm" in item.nodeid else item.path.name

    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=lambda item: group(item) != "swarm")


@pytest.fixture
def make(tmp_path):
    """Makes plimsolls that are taken away after the test; their journals must replay."""
    made = []
    let_in(tmp_path)

    def new(**kwargs):
        directory = tmp_path / f"p{len(made)}"
        directory.mkdir()
        p = Plimsoll(directory, **kwargs)
        made.append(p)
        return p

    yield new
    for p in made:
        p.clean_up()
    for p in made:
        assert not p.reports(), p.reports()
        if (p.state / "journal").is_dir() and not getattr(p, "journal_broken", False):
            p.replay_agrees()
