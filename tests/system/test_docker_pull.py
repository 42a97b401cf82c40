"""Images that have to be fetched, from a real registry that wants a user and a password."""

import base64
import contextlib
import http.client
import json
import shutil

import pytest

from plimsoll import free_port, wait
from servers import Server
from test_docker import config, owned, texts

USER, PASSWORD = "shop", "open sesame"
BCRYPT = "$2b$05$aaaaaaaaaaaaaaaaaaaaaOKCuJ397nGLZ7NZP9IDL2orcKcNOAifi"  # of the password


class Registry(Server):
    """Debian's docker-registry on loopback, where an engine asks for no TLS."""

    def start(self):
        self.host = f"127.0.0.1:{free_port()}"
        users = self.directory / "htpasswd"
        users.write_text(f"{USER}:{BCRYPT}\n")
        (self.directory / "config.yml").write_text(f"""
version: 0.1
storage: {{filesystem: {{rootdirectory: {self.directory / "data"}}}}}
http: {{addr: "{self.host}"}}
auth: {{htpasswd: {{realm: test, path: {users}}}}}
""")
        self.spawn(["docker-registry", "serve", self.directory / "config.yml"])
        self.wait_up(lambda: self.status("/v2/") == 401)
        return self

    def status(self, path):
        c = http.client.HTTPConnection(self.host, timeout=10)
        with contextlib.closing(c):
            c.request("GET", path)
            return c.getresponse().status

    def credentials(self):
        return {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}


def push(docker, registry):
    """The test app, kept in the registry alone; its name."""
    name = f"{registry.host}/shop/app"
    assert docker.api("POST", f"/images/{docker.image}/tag?repo={name}&tag=1")[0] == 201
    header = base64.urlsafe_b64encode(json.dumps({"username": USER, "password": PASSWORD}).encode()).decode()
    status, body = docker.api("POST", f"/images/{name}/push?tag=1", headers={"X-Registry-Auth": header})
    assert status == 200 and "error" not in str(body), body
    remove(docker, f"{name}:1")
    return f"{name}:1"


def remove(docker, image):
    assert docker.api("DELETE", f"/images/{image}?force=1")[0] in (200, 404)
    assert docker.api("GET", f"/images/{image}/json")[0] == 404


@pytest.fixture
def image(tmp_path, docker):
    if not shutil.which("docker-registry"):
        pytest.skip("docker-registry is not installed")
    registry = Registry(tmp_path / "registry").start()
    try:
        yield push(docker, registry), registry
    finally:
        registry.stop()


@pytest.fixture
def run(make, docker, tmp_path, image):
    """A plimsoll whose user has logged in, or not, as ~/.docker/config.json says."""
    (tmp_path / "home").mkdir()

    def new(logins, helper=None):
        (tmp_path / "home" / "config.json").write_text(json.dumps(logins))
        path = tmp_path / "home" / "docker-credential-test"
        if helper:
            path.write_text("#!/bin/sh\n" + helper)
            path.chmod(0o755)
        return make(config=config(docker, image=image[0]),
                    env={"DOCKER_CONFIG": tmp_path / "home", "PATH": f"{tmp_path / 'home'}:/usr/sbin:/usr/bin:/bin"}
                    ).start()
    return new


def test_with_a_password(run, docker, image):
    name, registry = image
    p = run({"auths": {registry.host: registry.credentials()}})
    p.wait_ready(2, within=60)
    assert p.get("/")[0] == 200
    assert {c["Image"] for c in owned(docker, p).values()} == {name}


def test_with_a_credential_helper(run, image, tmp_path):
    _, registry = image
    answer = json.dumps({"ServerURL": registry.host, "Username": USER, "Secret": PASSWORD})
    p = run({"auths": {registry.host: {}}, "credHelpers": {registry.host: "test"}},
            f"cat >>{tmp_path}/asked; echo >>{tmp_path}/asked; sleep 0.5; echo '{answer}'")
    p.wait_ready(2, within=60)
    assert p.get("/")[0] == 200
    assert (tmp_path / "asked").read_text().splitlines() == [registry.host], "once, for both who waited"


def test_without_and_then_with(run, image, tmp_path):
    """A login while plimsoll runs is enough."""
    name, registry = image
    p = run({})
    wait(lambda: any(f"cannot pull {name}" in t and "no basic auth credentials" in t for t in texts(p)), 60,
         "the refusal to be told")
    assert p.service()["ready"] == 0
    (tmp_path / "home" / "config.json").write_text(json.dumps({"auths": {registry.host: registry.credentials()}}))
    p.wait_ready(2, within=120)


def test_a_helper_that_fails(run, image):
    name, registry = image
    p = run({"credsStore": "test"}, "echo the keychain is locked; exit 1")
    text = "docker-credential-test exited with status 1: the keychain is locked"
    wait(lambda: any(f"cannot pull {name}: no basic auth credentials; docker-credential-test" in t for t in texts(p)),
         60, "the failure to be told")
    assert text in p.log_tail(100000)
