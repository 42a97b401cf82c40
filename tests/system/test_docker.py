"""The docker driver with a real Docker Engine: containers come and go, are adopted, and whatever the engine
does, traffic goes on."""

import os
import pathlib
import signal
import subprocess
import urllib.parse

import pytest

from engines import Engine, image_tar, why_not
from plimsoll import ROOT, Load, free_port, wait

CONFIG = """
docker: {{host: "{host}"}}
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    drain: 5s
    docker:
      image: {image}
      command: /app
      env: {{HOST: 0.0.0.0}}
      ready: {{http: /healthz}}
      stop: {{grace: 3s}}
{docker}
    scale: {scale}
"""
SCALE = "{min: 2, max: 4, rules: [target: {metric: concurrency, value: 50}]}"


def config(docker, *lines, image=None, scale=SCALE):
    return CONFIG.format(host=docker.host, image=image or docker.image, scale=scale,
                         docker="\n".join("      " + line for line in lines))


@pytest.fixture
def run(make, docker):
    """A plimsoll with services on the engine."""
    def new(*lines, image=None, scale=SCALE, ready=2, env=None):
        p = make(config=config(docker, *lines, image=image, scale=scale), env=env).start()
        if ready:
            p.wait_ready(ready, within=60)
        return p
    return new


def owned(docker, p, state="running"):
    """The containers of this plimsoll, by their names."""
    owner = (p.state / "owner").read_text().strip()
    return {c["Names"][0][1:]: c for c in docker.containers(**{"plimsoll.owner": owner})
            if state in (None, c["State"])}


def inspect(docker, container):
    status, body = docker.api("GET", f"/containers/{container['Id']}/json")
    assert status == 200, body
    return body


def texts(p):
    status, body = p.api("GET", "/v1/events?limit=1000")
    return [e["text"] for e in body["events"]] if status == 200 else []


# --- a container is what the section says ---


def test_containers_run_and_serve(run, docker):
    p = run()
    code, body, _ = p.get("/")
    assert code == 200 and body.startswith(b"hello")
    owner = (p.state / "owner").read_text().strip()
    containers = owned(docker, p)
    assert set(containers) == {f"plimsoll-{owner}-shop-1", f"plimsoll-{owner}-shop-2"}
    addresses = {i["address"] for i in p.service()["instances"]}
    assert addresses == {f"tcp:{c['NetworkSettings']['Networks']['bridge']['IPAddress']}:8080"
                         for c in containers.values()}
    assert "the Docker Engine answers, API 1.41" in p.log_tail(100000)
    assert p.stop() == 0
    assert owned(docker, p, None) == {}


def test_every_key_reaches_the_engine(run, docker, tmp_path):
    (tmp_path / "env").write_text("# a file\nexport FROM_FILE='of the file'\nHOST=127.9.9.9\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "hello").write_text("from outside")
    p = run(f"env-file: {tmp_path}/env", "port: 9000", f"volumes: ['{tmp_path}/data:/data:ro', /scratch]",
            "user: '1000:1000'", "directory: /data", "labels: {team: blue}",
            "limits: {memory: 64MiB, cpus: 0.5, pids: 50}", "pull: never",
            "entrypoint: [/bin/busybox, env, 'OWN={instance} {port}']")
    for name, c in owned(docker, p).items():
        it = inspect(docker, c)
        env = dict(e.split("=", 1) for e in it["Config"]["Env"])
        assert env["FROM_FILE"] == "of the file" and env["PORT"] == "9000" and env["HOST"] == "0.0.0.0"
        assert env["PLIMSOLL_INSTANCE"] == "-".join(name.split("-")[2:])
        assert it["HostConfig"]["Memory"] == 64 << 20 and it["HostConfig"]["NanoCpus"] == 500000000
        assert it["HostConfig"]["PidsLimit"] == 50
        assert it["Config"]["User"] == "1000:1000" and it["Config"]["WorkingDir"] == "/data"
        assert it["Config"]["Labels"]["team"] == "blue"
        mounts = {m["Destination"]: m for m in it["Mounts"]}
        assert not mounts["/data"]["RW"] and mounts["/scratch"]["Type"] == "volume"
        assert it["Args"][-2:] == [f"OWN={env['PLIMSOLL_INSTANCE']} 9000", "/app"]
    assert p.get("/env?FROM_FILE")[0] in (200, 404)
    volumes = {v["Name"] for v in docker.api("GET", "/volumes")[1]["Volumes"] or []}
    assert p.stop() == 0
    left = {v["Name"] for v in docker.api("GET", "/volumes")[1]["Volumes"] or []}
    assert len(volumes) >= 2 and not left & volumes  # those without a name go with their containers


def test_a_port_of_the_host_is_published(run, docker):
    p = run("publish: true")
    assert all(i["address"].startswith("tcp:127.0.0.1:") for i in p.service()["instances"])
    assert p.get("/")[0] == 200
    for c in owned(docker, p).values():  # and nobody else gets past the proxy
        assert {b["HostIp"] for b in inspect(docker, c)["NetworkSettings"]["Ports"]["8080/tcp"]} == {"127.0.0.1"}


def test_in_the_hosts_network_each_has_a_port_of_its_own(run, docker):
    p = run("network: host")
    addresses = {i["address"] for i in p.service()["instances"]}
    assert len(addresses) == 2 and all(a.startswith("tcp:127.0.0.1:2") for a in addresses)
    assert p.get("/")[0] == 200


def test_workers_need_no_port(make, docker):
    p = make(config=f"""
docker: {{host: "{docker.host}"}}
services:
  worker:
    docker: {{image: "{docker.image}", command: "/bin/sh -c 'echo working; while :; do sleep 1; done'", stop: {{grace: 0s}}}}
    scale: {{min: 1, max: 2, rules: [threshold: {{metric: cpu, above: 80%, for: 5m, add: 1}}]}}
""").start()
    p.wait_ready(1, within=30)
    assert p.service()["instances"][0]["address"] == ""
    wait(lambda: "working" in p.cli("logs", "worker-1", check=False).stdout, 10, "its output")


# --- who they belong to ---


def test_adopted_by_a_new_controller(run, docker):
    p = run()
    before = owned(docker, p)
    with Load(p.port) as load:
        load.wait_ok(50)
        old = p.kill_role("controller")
        wait(lambda: (s := p.try_status()) and s["controller"]["pid"] != old and
             all(x["ready"] == 2 for x in s["services"]), 20, "a new controller")
        load.wait_ok(50)
    assert not load.failures
    assert {c["Id"] for c in owned(docker, p, None).values()} == {c["Id"] for c in before.values()}


def test_adopted_after_everything_was_killed(run, docker):
    p = run()
    before = {c["Id"] for c in owned(docker, p).values()}
    s = p.status()
    for pid in (s["keeper"]["pid"], s["controller"]["pid"], s["proxy"]["pid"]):
        os.kill(pid, signal.SIGKILL)
    p.process.wait(10)
    p.start()
    p.wait_ready(2, within=30)
    assert p.get("/")[0] == 200
    assert {c["Id"] for c in owned(docker, p, None).values()} == before


def test_what_is_left_of_an_earlier_life(run, docker):
    """A container that was made and never started, one that has ended, and one of a service that is gone."""
    p = run()
    owner = (p.state / "owner").read_text().strip()
    os.kill(p.status()["keeper"]["pid"], signal.SIGKILL)
    for role in ("controller", "proxy"):
        for pid in p.own_pids():
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if b"plimsoll" in f.read():
                    os.kill(pid, signal.SIGKILL)
    p.process.wait(10)
    for service, number, command in (("shop", 90, None), ("shop", 91, ["/bin/sh", "-c", "exit 3"]),
                                     ("other", 1, ["/app"])):
        labels = {"plimsoll.owner": owner, "plimsoll.service": service, "plimsoll.instance": str(number),
                  "plimsoll.template": "1", "plimsoll.drain": "100000"}
        name = f"plimsoll-{owner}-{service}-{number}"
        status, body = docker.api("POST", f"/containers/create?name={name}", {
            "Image": docker.image, "Cmd": command or ["/app"], "Labels": labels})
        assert status == 201, body
        if command:
            assert docker.api("POST", f"/containers/{name}/start")[0] == 204
    p.start()
    p.wait_ready(2, within=30)
    wait(lambda: len(owned(docker, p, None)) == 2, 20, "the others to be removed")


def test_a_name_that_is_taken(run, docker):
    p = run(scale="{min: 1, max: 4, rules: [target: {metric: concurrency, value: 50}]}", ready=1)
    owner = (p.state / "owner").read_text().strip()
    assert docker.api("POST", f"/containers/create?name=plimsoll-{owner}-shop-2",
                      {"Image": docker.image, "Cmd": ["/app"]})[0] == 201
    p.cli("scale", "shop", "2")
    p.wait_ready(2, within=30)
    assert any("is taken by another container" in t for t in texts(p))
    assert docker.api("GET", f"/containers/plimsoll-{owner}-shop-2/json")[0] == 200


# --- how they end ---


def test_a_crash_is_told_with_its_code_and_last_words(run, docker):
    p = run()
    name, victim = sorted(owned(docker, p).items())[0]
    short = name.split("-", 2)[2]
    docker.api("POST", f"/containers/{victim['Id']}/kill?signal=KILL")
    wait(lambda: any("exited 137: killed by signal 9" in t for t in texts(p)), 10, "the exit to be told")
    p.wait_ready(2, within=30)
    wait(lambda: name not in owned(docker, p, None), 10, "what is left of it to be removed")
    assert (p.state / "log" / f"{short}.log").exists()


def test_last_words(run, docker):
    p = run("entrypoint: [/bin/sh, -c, 'echo about to fail; echo badly >&2; exit 7']", ready=0)
    wait(lambda: any("exited 7" in t for t in texts(p)), 20, "the exit to be told")
    log = p.state / "log" / "shop-1.log"
    wait(lambda: log.exists() and "badly" in log.read_text(), 10, "its last words")
    assert sorted(log.read_text().splitlines()) == ["about to fail", "badly"]
    assert "about to fail" in p.cli("logs", "shop-1").stdout


def test_out_of_memory(run, docker):
    p = run("entrypoint: [/bin/busybox, tail, /dev/zero]", "limits: {memory: 8MiB}", ready=0)
    wait(lambda: any("exited 137: killed, out of memory" in t for t in texts(p)), 30, "the OOM kill to be told")


def test_removed_by_somebody(run, docker):
    p = run()
    victim = sorted(owned(docker, p).items())[0][1]
    docker.api("DELETE", f"/containers/{victim['Id']}?force=1")
    wait(lambda: victim["Id"] not in {c["Id"] for c in owned(docker, p).values()} and
         p.service()["ready"] == 2, 30, "another one")


def test_stop_gives_grace_and_then_kills(run, docker):
    p = run("entrypoint: [/bin/busybox, env, APP_IGNORE_TERM=1]", ready=2)
    p.cli("scale", "shop", "1", "--force")
    p.write_config(config(docker, "entrypoint: [/bin/busybox, env, APP_IGNORE_TERM=1]").replace("grace: 3s", "grace: 1s"))
    p.cli("reload")
    assert p.stop() == 0
    assert any("exited 137: killed by signal 9" in line for line in p.log_tail(100000).splitlines())
    assert owned(docker, p, None) == {}


def test_health_check_of_the_image(run, docker):
    check = "HEALTHCHECK --interval=200ms --timeout=2s CMD [\"/bin/busybox\", \"test\", \"!\", \"-e\", \"/ill\"]"
    files = {"/app": pathlib.Path(docker.directory) / "app", "/bin/busybox": pathlib.Path("/bin/busybox"),
             "/bin/sh": pathlib.Path("/bin/busybox"), "/bin/touch": pathlib.Path("/bin/busybox")}
    status, body = docker.api("POST", "/images/create?fromSrc=-&repo=checked&tag=latest&changes=" +
                              urllib.parse.quote(check), raw=image_tar(files))
    assert status == 200, body
    text = config(docker, image="checked:latest").replace("{http: /healthz}", "{engine: true}")
    p = run()
    p.write_config(text)
    p.cli("reload")
    wait(lambda: {c["Image"] for c in owned(docker, p).values()} == {"checked:latest"} and
         p.service()["ready"] == 2, 60, "the new image")
    name, victim = sorted(owned(docker, p).items())[0]
    status, body = docker.api("POST", f"/containers/{victim['Id']}/exec", {"Cmd": ["/bin/touch", "/ill"]})
    assert status == 201, body
    assert docker.api("POST", f"/exec/{body['Id']}/start", {"Detach": True})[0] == 200
    wait(lambda: any("health check fails" in t for t in texts(p)), 30, "the failing health check")


def test_no_health_check(run, docker):
    p = run(ready=0)
    p.write_config(config(docker).replace("{http: /healthz}", "{engine: true, within: 2s}"))
    p.cli("reload")
    p.cli("restart", "shop")
    wait(lambda: any("has no HEALTHCHECK" in t for t in texts(p)), 30, "the reason")


def test_one_that_listens_on_the_wrong_address(make, docker):
    """The way out is told, and whole, though what follows from it stands before it."""
    text = config(docker).replace("HOST: 0.0.0.0", "HOST: 127.0.0.1").replace("/healthz}", "/healthz, within: 2s}")
    p = make(config=text)
    p.start(ready=False)
    wait(lambda: p.try_status() and "is not ready within 2s" in (p.service()["trouble"] or ""), 30, "the trouble")
    assert p.service()["trouble"].endswith(":8080; listen on 0.0.0.0:$PORT"), p.service()["trouble"]


# --- what they use ---


def test_cpu_and_memory_come_from_the_engine(run, docker):
    p = run("limits: {cpus: 0.5}", scale="{min: 1, max: 1, rules: [target: {metric: cpu, value: 60%}]}", ready=1)
    with Load(p.port, clients=8, path="/"):
        def measured():
            i = p.service()["instances"][0]
            return i["memory_bytes"] and i["cpu"] and i["cpu"] > 0.001 and i
        i = wait(measured, 30, "cpu and memory")
    assert 100_000 < i["memory_bytes"] < 100 << 20 and i["cpu"] < 1.5


def test_resize_without_a_restart(run, docker):
    p = run("limits: {memory: 64MiB, cpus: 0.5}")
    before = {c["Id"] for c in owned(docker, p).values()}
    p.write_config(config(docker, "limits: {memory: 96MiB, cpus: 1}"))
    p.cli("reload")

    def resized():
        containers = owned(docker, p).values()
        host = [inspect(docker, c)["HostConfig"] for c in containers]
        return all(h["Memory"] == 96 << 20 and h["NanoCpus"] == 10**9 for h in host)

    wait(resized, 20, "the new limits")
    assert {c["Id"] for c in owned(docker, p, None).values()} == before


def test_a_limit_that_is_taken_away_needs_another_container(run, docker):
    p = run("limits: {memory: 64MiB}")
    before = {c["Id"] for c in owned(docker, p).values()}
    p.write_config(config(docker))
    p.cli("reload")
    wait(lambda: not before & {c["Id"] for c in owned(docker, p).values()} and p.service()["ready"] == 2, 40,
         "new containers")
    assert all(inspect(docker, c)["HostConfig"]["Memory"] == 0 for c in owned(docker, p).values())


# --- the engine is away ---


def test_engine_hangs(run, docker):
    p = run()
    with Load(p.port) as load:
        load.wait_ok(20)
        docker.pause()
        p.cli("scale", "shop", "3")
        wait(lambda: any("does not answer in time" in t for t in texts(p)), 40, "the engine to be missed")
        load.wait_ok(50)
        docker.resume()
        p.wait_ready(3, within=40)
        load.wait_ok(20)
    assert not load.failures
    assert len(owned(docker, p, None)) == 3


def test_engine_killed_and_back(run, docker):
    """Without live-restore its containers end with the next start: they are replaced."""
    p = run()
    before = {c["Id"] for c in owned(docker, p).values()}
    with Load(p.port) as load:
        load.wait_ok(20)
        docker.kill()
        p.cli("scale", "shop", "3")
        wait(lambda: any("the engine does not answer" in t for t in texts(p)), 20, "the engine to be missed")
        load.wait_ok(50)
    assert not load.failures
    docker.start()
    wait(lambda: p.service()["ready"] == 3 and len(owned(docker, p, None)) == 3, 60, "three containers")
    assert not before & {c["Id"] for c in owned(docker, p).values()}
    assert p.get("/")[0] == 200


# --- bad input ---


def test_no_such_image(run, docker):
    image = f"127.0.0.1:{free_port()}/no-such-image:1.2"  # no registry there: refused at once, wherever this runs
    p = run(image=image, ready=0)
    wait(lambda: any(f"cannot pull {image}" in t for t in texts(p)), 60, "the reason")
    assert "no-such-image" in p.cli("status").stdout
    q = run("pull: never", image="no-such-image:1.2", ready=0)
    wait(lambda: any("No such image: no-such-image:1.2" in t for t in texts(q)), 20, "the reason")


def test_no_such_command(run, docker):
    p = run("entrypoint: [/nope]", ready=0)
    wait(lambda: any('exec: "/nope": stat /nope: no such file' in t for t in texts(p)), 30, "the reason")
    wait(lambda: "/nope" in p.cli("status").stdout, 10, "the reason in status")


def test_no_such_network(run, docker):
    p = run("network: nowhere", ready=0)
    wait(lambda: any("network nowhere not found" in t for t in texts(p)), 30, "the reason")


def test_an_engine_that_is_none_is_said_once(make):
    """Though every new configuration asks for it anew."""
    p = make(config='''
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    docker: {image: x}
    scale: {min: 1, max: 2}
''', env={"DOCKER_HOST": "foo://bar"})
    p.start(ready=False)
    wait(lambda: p.try_status() and 'DOCKER_HOST is "foo://bar"' in (p.service()["trouble"] or ""), 20, "the trouble")
    assert p.log_tail(100000).count("the Docker Engine cannot be reached") == 1


def test_no_engine(make, tmp_path):
    p = make(config=f"""
docker: {{host: "unix://{tmp_path}/none.sock"}}
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    docker: {{image: x}}
    scale: {{min: 1, max: 2}}
  other:
    run: {{command: [sleep, "1000"]}}
    scale: {{min: 1, max: 2, rules: [threshold: {{metric: cpu, above: 80%, for: 5m, add: 1}}]}}
""").start()
    p.wait_ready(1, "other")
    wait(lambda: any("no engine at unix://" in t for t in texts(p)), 20, "the reason")


@pytest.mark.parametrize("docker_section,place,text", [
    ("{image: x, volumes: [./data:/data]}", "shop", "neither /PATH:/TARGET nor NAME:/TARGET"),
    ("{image: x, network: host, publish: true}", "shop", "has no meaning in the host's network"),
    ("{image: x, labels: {plimsoll.owner: me}}", "shop", "labels that begin with plimsoll."),
    ("{command: x}", "shop", "image"),
    ("{image: x, ready: {engine: true, tcp: true}}", "shop", "has one of http, tcp and engine"),
    ("{image: x, imgae: y}", "shop", 'did you mean'),
    ("{image: x, environment: {A: b}}", "shop", 'unknown key "environment": here it is "env"'),
    ("{image: x, ports: ['80:80']}", "shop", 'here it is "port"'),
    ("{image: x, restart: always}", "shop", "plimsoll replaces what ends"),
])
def test_sections_that_are_wrong(make, docker_section, place, text):
    p = make(config=f"services:\n  shop: {{listen: '127.0.0.1:@PORT@', docker: {docker_section}}}\n")
    done = subprocess.run([p.argv()[0], "check", str(p.config)], capture_output=True, text=True)
    assert done.returncode != 0 and text in done.stdout + done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize("engine,text", [
    ("{host: 'ssh://me@there'}", "neither unix:///PATH nor tcp://HOST:PORT"),
    ("{host: 'tcp://10.0.0.1:2376', cert: a.pem}", "cert and key go together"),
    ("{host: 'unix:///x', ca: a.pem}", "needs no ca"),
])
def test_engines_that_are_wrong(make, engine, text):
    p = make(config=f"docker: {engine}\nservices:\n  shop: {{listen: '127.0.0.1:@PORT@', docker: {{image: x}}}}\n")
    done = subprocess.run([p.argv()[0], "check", str(p.config)], capture_output=True, text=True)
    assert done.returncode != 0 and text in done.stdout + done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize("engine,noted", [
    ("{host: 'tcp://10.0.0.5:2375'}", True),
    ("{host: 'tcp://127.0.0.1:2375'}", False),
    ("{}", False),
])
def test_an_engine_that_others_can_reach(make, engine, noted):
    p = make(config=f"docker: {engine}\nservices:\n  shop: {{listen: '127.0.0.1:@PORT@', docker: {{image: x}}}}\n")
    done = subprocess.run([p.argv()[0], "check", str(p.config)], capture_output=True, text=True)
    assert done.returncode == 0 and ("TCP without TLS" in done.stdout) == noted, done.stdout + done.stderr


# --- what a reload brings ---


def test_a_service_that_a_reload_adds(run, docker):
    p = run()
    before = set(owned(docker, p))
    text = p.config.read_text()
    shop = text[text.index("  shop:"):]
    p.config.write_text(text + shop.replace("shop:", "zeta:").replace(str(p.port), str(free_port())))
    p.cli("reload")
    p.wait_ready(2, "zeta", 30)
    assert before < set(owned(docker, p)) and p.service("shop")["ready"] == 2


# --- the guide ---


GUIDE = [b.split("```")[0] for b in (ROOT / "docs" / "docker.md").read_text().split("```yaml\n")[1:]]


@pytest.mark.parametrize("example", GUIDE)
def test_examples_of_the_guide(make, tmp_path, example):
    for name in ("ca", "cert", "key"):
        example = example.replace(f"/etc/plimsoll/{name}.pem", f"{tmp_path}/{name}.pem")
    p = make(config=example)
    done = subprocess.run([p.argv()[0], "check", str(p.config)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_guides_first_example_runs(make, docker):
    text = GUIDE[0].replace("registry.example.com/shop:1.4", docker.image).replace(":8080", "127.0.0.1:@PORT@")
    text = text.replace("      port:", "      command: /app\n      env: {HOST: 0.0.0.0}\n      port:")
    p = make(config=f'docker: {{host: "{docker.host}"}}\n{text}').start()
    p.wait_ready(2, within=60)
    assert p.get("/")[0] == 200


# --- over TCP, with TLS; containers that outlive their engine ---


def certificates(directory):
    """A CA, the engine's certificate for 127.0.0.1, and a client's."""
    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, cwd=directory, capture_output=True)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca-key.pem", "-out", "ca.pem", "-days",
            "2", "-subj", "/CN=test ca")
    for name, extension in (("server", "subjectAltName=IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")):
        (directory / f"{name}.ext").write_text(extension + "\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}-key.pem", "-out", f"{name}.csr", "-subj",
                f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial",
                "-out", f"{name}.pem", "-days", "2", "-extfile", f"{name}.ext")


@pytest.fixture(scope="module")
def tls_engine(tmp_path_factory):
    if why_not():
        pytest.skip(why_not())
    directory = tmp_path_factory.mktemp("tls")
    certificates(directory)
    port = free_port()
    engine = Engine(flags=["-H", f"tcp://127.0.0.1:{port}", "--tlsverify", "--tlscacert", directory / "ca.pem",
                           "--tlscert", directory / "server.pem", "--tlskey", directory / "server-key.pem",
                           "--live-restore"])
    engine.certificates, engine.port = directory, port
    try:
        engine.start()
        engine.image = engine.import_app()
        yield engine
    finally:
        engine.close()


def tls_config(engine, keys):
    return config(engine).replace(f'{{host: "{engine.host}"}}', f'{{host: "tcp://127.0.0.1:{engine.port}", {keys}}}')


def test_tls(make, tls_engine):
    d = tls_engine.certificates
    p = make(config=tls_config(tls_engine, f"ca: {d}/ca.pem, cert: {d}/client.pem, key: {d}/client-key.pem")).start()
    p.wait_ready(2, within=60)
    assert p.get("/")[0] == 200
    q = make(config=tls_config(tls_engine, f"ca: {d}/ca.pem")).start()  # nobody knows who it is
    wait(lambda: any("the engine does not answer" in t for t in texts(q)), 20, "the refusal")
    assert p.stop() == 0 and owned(tls_engine, p, None) == {}


def test_containers_that_outlive_their_engine(make, tls_engine):
    p = make(config=config(tls_engine)).start()
    p.wait_ready(2, within=60)
    before = {c["Id"] for c in owned(tls_engine, p).values()}
    with Load(p.port) as load:
        load.wait_ok(20)
        tls_engine.kill()
        p.cli("scale", "shop", "3")
        wait(lambda: any("the engine does not answer" in t for t in texts(p)), 20, "the engine to be missed")
        tls_engine.start()
        p.wait_ready(3, within=60)
        load.wait_ok(20)
    assert not load.failures
    assert before < {c["Id"] for c in owned(tls_engine, p).values()}
