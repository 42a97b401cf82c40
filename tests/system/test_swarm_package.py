"""plimsoll as a service of a Swarm, with an app beside it that is scaled by the labels of packaging/compose.yaml.

No registry can be reached, so the image is made of the built program and the libraries that it needs, instead of
by the Containerfile; what that says of users and paths holds here as well.
"""

import http.client
import io
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import urllib.parse

import pytest

from engines import static_app
from plimsoll import PROGRAM, ROOT, free_port, wait

COMPOSE = ROOT / "packaging" / "compose.yaml"
USER = 10001


def compose_labels():
    """Of the app in compose.yaml, as written there."""
    found = re.findall(r'^\s+(plimsoll\.[\w.-]+): *"?([^"\n]*)"?$', COMPOSE.read_text(), re.M)
    assert len(found) > 5
    return dict(found)


def libraries():
    """What the program is linked with, and the loader."""
    text = subprocess.run(["ldd", PROGRAM], check=True, capture_output=True, text=True).stdout
    return sorted({pathlib.Path(p) for p in re.findall(r"(/[\w./+-]+) \(0x", text)})


def add(tar, path, data=None, mode=0o755, uid=0):
    info = tarfile.TarInfo(path.lstrip("/"))
    info.mode, info.uid, info.gid = mode, uid, uid
    if data is None:
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    else:
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))


def import_image(engine, name, tar, *changes):
    query = urllib.parse.urlencode([("fromSrc", "-"), ("repo", name), ("tag", "latest"),
                                    *[("changes", c) for c in changes]])
    status, body = engine.api("POST", f"/images/create?{query}", raw=tar)
    assert status == 200, body


def import_plimsoll(engine):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        add(tar, "/usr/bin/plimsoll", PROGRAM.read_bytes())
        for library in libraries():
            add(tar, str(library), library.read_bytes())
        add(tar, "/etc/passwd", f"root:x:0:0::/:\nplimsoll:x:{USER}:{USER}::/var/lib/plimsoll:\n".encode(), 0o644)
        add(tar, "/tmp", mode=0o1777)
        add(tar, "/var/lib/plimsoll", uid=USER)
    import_image(engine, "plimsoll", out.getvalue(), 'ENTRYPOINT ["/usr/bin/plimsoll"]', "USER plimsoll",
                 'CMD ["run", "--swarm", "--state", "/var/lib/plimsoll"]')


def import_shop(engine):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        add(tar, "/app", static_app(engine.directory).read_bytes())
    import_image(engine, "shop", out.getvalue(), 'CMD ["/app"]', "ENV HOST=0.0.0.0 PORT=8000")


@pytest.fixture
def images(swarm):
    import_plimsoll(swarm)
    import_shop(swarm)
    return swarm


def group(engine):
    return os.stat(engine.socket).st_gid


def answers(port):
    def asked():
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            c.request("GET", "/")
            return c.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            c.close()

    return asked


def remove_network(engine, name):
    engine.remove_services()
    wait(lambda: engine.api("DELETE", f"/networks/{name}")[0] in (204, 404), 30, "the network to be gone", 0.2)


def output_of(engine, service):
    """What its tasks have written, frames and all: for people who look at a failure."""
    return engine.api("GET", f"/services/{service}/logs?stdout=1&stderr=1&tail=60")[1]


def expect(condition, within, what, engine, service):
    try:
        return wait(condition, within, what, 0.1)
    except AssertionError as e:
        raise AssertionError(f"{e}\n{output_of(engine, service)}\n{engine.tasks(service, None)[-1:]}") from e


def scaled_by_labels(engine, plimsoll, shop, port):
    """What is the same however they were deployed."""
    expect(answers(port), 60, "the app behind plimsoll", engine, plimsoll)
    engine.update(shop, lambda spec: spec["Labels"].update({"plimsoll.min": "3"}))
    expect(lambda: len(engine.tasks(shop)) == 3, 60, "three tasks", engine, plimsoll)
    # A new version of plimsoll itself: the app goes on as it is.
    before = {t["ID"] for t in engine.tasks(plimsoll)}
    engine.update(plimsoll, lambda spec: spec["TaskTemplate"].update(ForceUpdate=1))
    expect(lambda: engine.tasks(plimsoll) and before.isdisjoint(t["ID"] for t in engine.tasks(plimsoll)), 90,
           "another plimsoll", engine, plimsoll)
    assert engine.replicas(shop) == 3 and len(engine.tasks(shop)) == 3
    expect(answers(port), 60, "the app behind the new plimsoll", engine, plimsoll)


def test_as_a_service(images):
    """The services of compose.yaml over the API."""
    port = free_port()
    status, network = images.api("POST", "/networks/create", {"Name": "apps", "Driver": "overlay"})
    assert status == 201, network
    try:
        shop = images.spec("shop", image="shop:latest", args=[], publish=False, networks=["apps"],
                           labels=compose_labels())
        plimsoll = images.spec("plimsoll", image="plimsoll:latest", args=[], publish=False, networks=["apps"],
                               grace_s=60, placement={"Constraints": ["node.role == manager"]})
        plimsoll["TaskTemplate"]["ContainerSpec"].update(
            User=f"{USER}:{group(images)}",
            Mounts=[{"Type": "bind", "Source": str(images.socket), "Target": "/var/run/docker.sock"},
                    {"Type": "volume", "Source": "plimsoll-state", "Target": "/var/lib/plimsoll"}])
        plimsoll["EndpointSpec"] = {"Ports": [{"Protocol": "tcp", "TargetPort": 8080, "PublishedPort": port,
                                               "PublishMode": "host"}]}
        for spec in (plimsoll, shop):
            status, body = images.api("POST", "/services/create", spec)
            assert status == 201, body
        scaled_by_labels(images, "plimsoll", "shop", port)
    finally:
        remove_network(images, "apps")


def test_docker_stack_deploy(images, tmp_path):
    """The file itself, by the tool that people use."""
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "stack", "ls", "--help"], capture_output=True).returncode != 0:
        pytest.skip("no `docker` command that knows `stack deploy`")
    port = free_port()
    text = COMPOSE.read_text().replace("published: 8080", f"published: {port}")
    text = text.replace("/var/run/docker.sock:/", f"{images.socket}:/")
    (tmp_path / "compose.yaml").write_text(text)
    env = dict(os.environ, DOCKER_HOST=images.host, DOCKER_GID=str(group(images)))
    try:
        p = subprocess.run([docker, "stack", "deploy", "--resolve-image", "never", "-c", tmp_path / "compose.yaml",
                            "demo"], env=env, capture_output=True, text=True)
        assert p.returncode == 0, p.stderr
        scaled_by_labels(images, "demo_plimsoll", "demo_shop", port)
    finally:
        remove_network(images, "demo_apps")
