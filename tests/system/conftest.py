import pytest

from plimsoll import APP, PROGRAM, Plimsoll


def pytest_sessionstart(session):
    for program in (PROGRAM, APP):
        if not program.exists():
            pytest.exit(f"{program} is missing: run `make` first", 2)


@pytest.fixture
def make(tmp_path):
    """Makes plimsolls that are taken away after the test; their journals must replay."""
    made = []

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
        if (p.state / "journal").is_dir() and not getattr(p, "journal_broken", False):
            p.replay_agrees()
