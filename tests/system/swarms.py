"""A real Docker Swarm for tests: dockerds with an engine's fixture of their own, one manager, more nodes in
network namespaces. Services are made over the API, as `docker stack deploy` makes them."""

import contextlib

import pytest

import netns
from engines import Engine, begin, why_not
from plimsoll import free_port, wait

IMAGE = "plimsoll-test-app:latest"
PORT = 8000


class Swarm(Engine):
    """One node. The first of a Swarm is its manager."""

    def __init__(self, wrap=(), address="127.0.0.1", port=0):
        super().__init__(wrap=wrap)
        self.address, self.swarm_port = address, port or free_port()

    def init(self):
        status, body = self.api("POST", "/swarm/init", {
            "ListenAddr": f"{self.address}:{self.swarm_port}", "AdvertiseAddr": self.address})
        assert status == 200, body
        self.api("POST", "/swarm/update?version=" + str(self.cluster()["Version"]["Index"]),
                 dict(self.cluster()["Spec"], Orchestration={"TaskHistoryRetentionLimit": 2}))
        return self

    def cluster(self):
        return self.api("GET", "/swarm")[1]

    def join(self, manager):
        token = manager.cluster()["JoinTokens"]["Worker"]
        status, body = self.api("POST", "/swarm/join", {
            "ListenAddr": f"{self.address}:{self.swarm_port}", "AdvertiseAddr": self.address,
            "RemoteAddrs": [f"{manager.address}:{manager.swarm_port}"], "JoinToken": token})
        assert status == 200, body
        return self

    # -- services -------------------------------------------------------------------------------

    def spec(self, name, replicas=1, labels=None, image=IMAGE, env=None, publish=True, networks=(),
             args=None, grace_s=10, placement=None, mode=None, restart=None, update=None):
        environment = {"HOST": "0.0.0.0", "PORT": PORT, "APP_SERVICE_MS": 5, **(env or {})}
        spec = {
            "Name": name,
            "Labels": labels or {},
            "TaskTemplate": {
                "ContainerSpec": {"Image": image, "Command": ["/app"] if args is None else args,
                                  "Env": [f"{k}={v}" for k, v in environment.items()],
                                  "StopGracePeriod": int(grace_s * 1e9)},
                "RestartPolicy": restart or {"Condition": "any", "Delay": 200_000_000},
                "Placement": placement or {},
                "Networks": [{"Target": n} for n in networks],
            },
            "Mode": mode or {"Replicated": {"Replicas": replicas}},
        }
        if publish:
            spec["EndpointSpec"] = {"Ports": [{"Protocol": "tcp", "TargetPort": PORT, "PublishMode": "host"}]}
        if update:
            spec["UpdateConfig"] = update
        return spec

    def create(self, name, **options):
        status, body = self.api("POST", "/services/create", self.spec(name, **options))
        assert status == 201, body
        return body["ID"]

    def service(self, name):
        status, body = self.api("GET", f"/services/{name}")
        return body if status == 200 else None

    def update(self, name, change):
        """`change` gets the spec and alters it; tried again when somebody else was quicker."""
        for _ in range(20):
            s = self.service(name)
            change(s["Spec"])
            status, body = self.api("POST", f"/services/{s['ID']}/update?version={s['Version']['Index']}", s["Spec"])
            if status == 200:
                return
            assert "out of sequence" in str(body), body
        raise AssertionError("the service does not stand still")

    def set_replicas(self, name, count):
        self.update(name, lambda spec: spec["Mode"]["Replicated"].update(Replicas=count))

    def replicas(self, name):
        return self.service(name)["Spec"]["Mode"]["Replicated"]["Replicas"]

    def tasks(self, name, state="running"):
        status, body = self.api("GET", "/tasks")
        service = self.service(name)
        return [t for t in body if service and t["ServiceID"] == service["ID"] and
                (state is None or t["Status"]["State"] == state and t["DesiredState"] == "running")]

    def remove_services(self):
        for s in self.api("GET", "/services")[1]:
            self.api("DELETE", f"/services/{s['ID']}")
        wait(lambda: not self.containers() or self.remove_containers(), 60, "the tasks to be gone", 0.2)

    def nodes(self):
        return self.api("GET", "/nodes")[1]

    def set_availability(self, node_id, availability):
        node = next(n for n in self.nodes() if n["ID"] == node_id)
        spec = dict(node["Spec"], Availability=availability)
        status, body = self.api("POST", f"/nodes/{node_id}/update?version={node['Version']['Index']}", spec)
        assert status == 200, body


@pytest.fixture(scope="session")
def swarm_session():
    engine = begin(Swarm)
    try:
        engine.import_app()
        engine.init()
        yield engine
    finally:
        with contextlib.suppress(Exception):
            engine.remove_services()
        engine.close()


@pytest.fixture
def swarm(swarm_session):
    """The session's Swarm of one node, without services."""
    if swarm_session.process.poll() is not None:
        swarm_session.start()
    yield swarm_session
    if swarm_session.process.poll() is not None:
        swarm_session.start()
    with contextlib.suppress(OSError):
        swarm_session.resume()
    swarm_session.remove_services()


def net_of(machine):
    """The machine's network alone: `ip netns exec` would hide the cgroups, which dockerd needs."""
    return ["nsenter", f"--net=/run/netns/{machine.name}"]


@pytest.fixture(scope="session")
def swarm_of_three():
    """Three nodes in network namespaces; the list of their engines, the manager first."""
    reason = why_not() or netns.why_not()
    if reason:
        pytest.skip(reason)
    network = netns.Network(3)
    engines = []
    try:
        for m in network.machines:
            e = Swarm(wrap=net_of(m), address=m.address, port=2377)
            engines.append(e)
            e.start()
            e.import_app()
        engines[0].init()
        for e in engines[1:]:
            e.join(engines[0])
        wait(lambda: sum(n["Status"]["State"] == "ready" for n in engines[0].nodes()) == 3, 30, "three nodes")
        engines[0].network = network
        yield engines
    finally:
        for e in reversed(engines):
            e.close()
        network.close()
