import re

import pytest

from plimsoll import APP, PROGRAM, Plimsoll


def pytest_sessionstart(session):
    for program in (PROGRAM, APP):
        if not program.exists():
            pytest.exit(f"{program} is missing: run `make` first", 2)


REPORT = re.compile(r"(ERROR: \w+Sanitizer|WARNING: \w+Sanitizer|runtime error:|Assertion .* failed)")


def reports(p):
    """What a sanitizer or an assert said of one of the three processes; the keeper restarts what dies,
    so without this look a crash would pass unseen."""
    text = p.log.read_text(errors="replace") if p.log.exists() else ""
    found = REPORT.search(text)
    return text[max(0, found.start() - 200):found.start() + 4000] if found else ""


@pytest.fixture
def make(tmp_path):
    """Makes plimsolls that are taken away after the test; their journals must replay."""
    made = []
    for folder in [tmp_path, *tmp_path.parents][:3]:  # the proxy is another user
        folder.chmod(folder.stat().st_mode | 0o011)

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
        assert not reports(p), reports(p)
        if (p.state / "journal").is_dir() and not getattr(p, "journal_broken", False):
            p.replay_agrees()
