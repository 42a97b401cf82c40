"""The swarm driver against a real Docker Swarm: replicas follow the load, tasks become instances, and whatever
Swarm or a person does to them is taken as it is."""

import threading

import pytest

from plimsoll import ROOT, Load, free_port, wait
from swarms import PORT

CONFIG = """
admin: off
swarm: {host: "unix://@SOCKET@", timeout: 5s}
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    health: {http: /healthz, interval: 200ms}
    drain: 5s
    swarm: {port: 8000, reach: host-port}
    scale: {min: 1, max: 6, rules: [{target: {metric: concurrency, value: 4}}], behavior: {down: {stabilize: 1s}}}
"""

DISCOVER = """
admin: off
swarm: {host: "unix://@SOCKET@", timeout: 5s, discover: true}
"""


def config(swarm, text=CONFIG):
    return text.replace("@SOCKET@", str(swarm.socket))


def texts(p):
    return [e["text"] for e in p.api("GET", "/v1/events?limit=1000")[1].get("events", [])]


def said(p, part, within=20):
    return wait(lambda: [t for t in texts(p) if part in t], within, f"an event with {part!r}")


def labels_for(p, **more):
    return {"plimsoll.enable": "true", "plimsoll.listen": f"127.0.0.1:{p.port}", "plimsoll.port": str(PORT),
            "plimsoll.reach": "host-port", "plimsoll.health.http": "/healthz", **more}


# -- replicas -------------------------------------------------------------------------------------


def test_replicas_follow_the_load(swarm, make):
    swarm.create("shop", replicas=1, env={"APP_SERVICE_MS": 50})
    p = make(config=config(swarm)).start()
    p.wait_ready(1)
    with Load(p.port, clients=12) as load:
        wait(lambda: swarm.replicas("shop") >= 3, 30, "more replicas")
        p.wait_ready(3, within=40)
        before = load.ok
        wait(lambda: load.ok > before + 50, 20, "requests on all of them")
    assert not load.failures, load.failures[:3]
    wait(lambda: swarm.replicas("shop") == 1, 60, "one replica again")
    wait(lambda: p.service()["ready"] == 1 and p.service()["draining"] == 0, 40, "one instance")
    assert len(swarm.tasks("shop")) == 1


def test_no_request_fails_while_swarm_chooses_who_goes(swarm, make):
    """The app goes on until its last answer after SIGTERM; the proxy stops sending as soon as Swarm has named
    the task."""
    swarm.create("shop", replicas=4)
    p = make(config=config(swarm).replace("min: 1", "min: 4")).start()
    p.wait_ready(4)
    with Load(p.port, clients=6) as load:
        p.cli("scale", "shop", "5")
        p.wait_ready(5, within=40)
        p.cli("scale", "shop", "4")
        wait(lambda: swarm.replicas("shop") == 4 and len(p.service()["instances"]) == 4, 40, "four")
        before = load.ok
        wait(lambda: load.ok > before + 100, 20, "more answers")
    assert not load.failures, load.failures[:3]
    said(p, "the engine has chosen it to end")


def test_a_person_changes_the_replicas(swarm, make):
    """What comes is found and what goes has gone; then the rules have their say, on top of that."""
    swarm.create("shop", replicas=2)
    p = make(config=config(swarm).replace("min: 1", "min: 2").replace("max: 6", "max: 2")).start()
    p.wait_ready(2)
    swarm.set_replicas("shop", 4)
    said(p, "found running")
    wait(lambda: swarm.replicas("shop") == 2, 40, "the rules' number")
    wait(lambda: len(p.service()["instances"]) == 2 and p.service()["ready"] == 2, 40, "two instances")
    swarm.set_replicas("shop", 1)
    wait(lambda: swarm.replicas("shop") == 2, 40, "the rules' number again")
    p.wait_ready(2, within=40)


def test_changes_at_the_same_time_are_not_lost(swarm, make):
    """A person edits the service's labels again and again while replicas go up and down."""
    swarm.create("shop", replicas=1)
    p = make(config=config(swarm)).start()
    p.wait_ready(1)
    done = threading.Event()
    count = 0

    def edit():
        nonlocal count
        while not done.is_set():
            count += 1
            swarm.update("shop", lambda spec: spec["Labels"].update(edit=str(count)))
            done.wait(0.05)

    person = threading.Thread(target=edit)
    person.start()
    try:
        for n in (4, 2, 5, 1):
            p.cli("scale", "shop", str(n))
            wait(lambda n=n: swarm.replicas("shop") == n, 60, f"{n} replicas")
    finally:
        done.set()
        person.join()
    assert swarm.service("shop")["Spec"]["Labels"]["edit"] == str(count)


# -- tasks ----------------------------------------------------------------------------------------


def test_a_crash_is_replaced_once(swarm, make):
    swarm.create("shop", replicas=2)
    p = make(config=config(swarm).replace("min: 1", "min: 2")).start()
    p.wait_ready(2)
    victim = swarm.containers()[0]
    swarm.api("POST", f"/containers/{victim['Id']}/kill?signal=KILL")
    said(p, "exited with status 137")
    p.wait_ready(2, within=40)
    assert swarm.replicas("shop") == 2
    wait(lambda: len(p.service()["instances"]) == 2, 20, "two instances")


def test_a_restart_of_the_controller_adopts(swarm, make):
    swarm.create("shop", replicas=3)
    p = make(config=config(swarm).replace("min: 1", "min: 3")).start()
    p.wait_ready(3)
    before = {i["id"]: i["address"] for i in p.service()["instances"]}
    with Load(p.port, clients=2) as load:
        old = p.kill_role("controller")
        wait(lambda: (p.try_status() or {"controller": {"pid": old}})["controller"]["pid"] != old, 20, "another")
        p.wait_ready(3)
    assert {i["id"]: i["address"] for i in p.service()["instances"]} == before
    assert swarm.replicas("shop") == 3 and not load.failures


def test_rolling_update_is_waited_for(swarm, make):
    swarm.create("shop", replicas=2, update={"Parallelism": 1, "Delay": 3_000_000_000, "Order": "start-first"})
    p = make(config=config(swarm).replace("min: 1", "min: 2")).start()
    p.wait_ready(2)
    with Load(p.port, clients=2) as load:
        swarm.update("shop", lambda spec: spec["TaskTemplate"].update(ForceUpdate=1))
        wait(lambda: (swarm.service("shop").get("UpdateStatus") or {}).get("State") == "updating", 10, "the update")
        p.cli("scale", "shop", "4")
        said(p, "its update is under way")
        assert swarm.replicas("shop") == 2

        def scaled():
            s = swarm.service("shop")
            replicas = s["Spec"]["Mode"]["Replicated"]["Replicas"]
            assert replicas == 2 or (s.get("UpdateStatus") or {}).get("State") != "updating"
            return replicas == 4

        wait(scaled, 100, "four replicas")
        p.wait_ready(4, within=40)
    assert not load.failures, load.failures[:3]


def test_no_such_image(swarm, make):
    swarm.create("shop", replicas=1, image="nobody-has-this:1")
    p = make(config=config(swarm)).start()
    said(p, "o such image", 60)
    assert p.service()["ready"] == 0


def test_placement_that_no_node_fits(swarm, make):
    swarm.create("shop", replicas=1, placement={"Constraints": ["node.labels.disk==ssd"]})
    p = make(config=config(swarm)).start()
    said(p, "no suitable node")
    node = swarm.nodes()[0]
    spec = dict(node["Spec"], Labels={"disk": "ssd"})
    assert swarm.api("POST", f"/nodes/{node['ID']}/update?version={node['Version']['Index']}", spec)[0] == 200
    p.wait_ready(1, within=40)


@pytest.mark.parametrize("made, part", [
    (None, "there is no service shop in the Swarm"),
    ({"Global": {}}, "no replicated service"),
])
def test_what_cannot_be_scaled(swarm, make, made, part):
    if made:
        swarm.create("shop", mode=made, publish=False)
    p = make(config=config(swarm)).start()
    said(p, part)
    assert any(part in t for t in p.status()["troubles"]), p.status()["troubles"]
    assert p.service()["ready"] == 0


def test_mesh_is_scaled_only(swarm, make):
    """Without a listener and an address: Swarm's word that a task runs is all there is."""
    swarm.create("jobs", replicas=1, publish=False)
    p = make(config=config(swarm, """
admin: off
swarm: {host: "unix://@SOCKET@"}
services:
  jobs:
    swarm: {}
    scale: {min: 2, max: 4, rules: [{target: {metric: cpu, value: 80%}}]}
""")).start()
    p.wait_ready(2)
    wait(lambda: all(i["cpu"] is not None and i["memory_bytes"] for i in p.service()["instances"]), 20,
         "CPU and memory from the node's engine")
    assert swarm.replicas("jobs") == 2


def test_the_engine_is_away_and_back(swarm, make):
    swarm.create("shop", replicas=2)
    p = make(config=config(swarm).replace("min: 1", "min: 2")).start()
    p.wait_ready(2)
    with Load(p.port, clients=2) as load:
        swarm.pause()
        try:
            said(p, "the engine does not answer", 40)
            p.cli("scale", "shop", "3")
        finally:
            swarm.resume()
        p.wait_ready(3, within=60)
    assert not load.failures, load.failures[:3]


def test_stop_leaves_the_swarm_alone(swarm, make):
    swarm.create("shop", replicas=2)
    p = make(config=config(swarm).replace("min: 1", "min: 2")).start()
    p.wait_ready(2)
    assert p.stop() == 0
    assert swarm.replicas("shop") == 2 and len(swarm.tasks("shop")) == 2


# -- labels ---------------------------------------------------------------------------------------


def test_labels_are_enough(swarm, make):
    p = make(config=config(swarm, DISCOVER)).start()
    assert p.status()["services"] == []
    swarm.create("stack_shop", replicas=1, labels=labels_for(p, **{
        "plimsoll.min": "2", "plimsoll.max": "4", "plimsoll.target.concurrency": "4",
        "plimsoll.behavior.down.stabilize": "1s"}))
    p.wait_ready(2, "stack-shop", 40)
    assert p.get()[0] == 200 and swarm.replicas("stack_shop") == 2
    swarm.update("stack_shop", lambda spec: spec["Labels"].update({"plimsoll.min": "3"}))
    p.wait_ready(3, "stack-shop", 40)
    swarm.update("stack_shop", lambda spec: spec["Labels"].update({"plimsoll.enable": "false"}))
    wait(lambda: p.status()["services"] == [], 40, "it to be let go")
    assert swarm.replicas("stack_shop") == 3
    assert said(p, "services.stack-shop: removed (let go: its instances stay as they are)")


GUIDE = (ROOT / "docs" / "swarm.md").read_text()


def labels_of_the_guide(p):
    """Of the first example, with a listener of the test's."""
    block = GUIDE.split("```yaml\n")[1].split("```")[0].split("labels:\n")[1]
    labels = dict(line.strip().replace('"', "").split(": ", 1) for line in block.splitlines())
    return {**labels, "plimsoll.listen": f"127.0.0.1:{p.port}"}


def test_the_guides_first_example_runs(swarm, make):
    """plimsoll is a process of the manager's, and in no network of the Swarm."""
    p = make(config=config(swarm, DISCOVER)).start()
    swarm.create("shop", labels=labels_of_the_guide(p))
    p.wait_ready(1, "shop", 40)
    assert p.get()[0] == 200


def test_tasks_that_cannot_be_reached(swarm, make):
    """An overlay network is for those who are attached to it: what to do is told, and then it works."""
    name = "apps"
    status, body = swarm.api("POST", "/networks/create", {"Name": name, "Driver": "overlay", "Attachable": True})
    assert status == 201, body
    try:
        p = make(config=config(swarm, DISCOVER)).start()
        swarm.create("shop", labels=labels_of_the_guide(p), publish=False, networks=[name])
        wait(lambda: any("is plimsoll attached to the task's network?" in t
                         for t in p.status()["troubles"]), 40, "the trouble")
        swarm.update("shop", lambda spec: spec.update(EndpointSpec={"Ports": [
            {"Protocol": "tcp", "TargetPort": PORT, "PublishMode": "host"}]}))
        p.wait_ready(1, "shop", 40)
        assert p.get()[0] == 200
        wait(lambda: not any("is plimsoll attached" in t for t in p.status()["troubles"]), 20, "the trouble's end")
    finally:
        swarm.remove_services()
        wait(lambda: swarm.api("DELETE", f"/networks/{name}")[0] in (204, 404), 30, "the network to be gone")


def test_a_label_with_a_typo(swarm, make):
    p = make(config=config(swarm, DISCOVER)).start()
    swarm.create("shop", replicas=1, labels=labels_for(p, **{
        "plimsoll.mni": "2", "plimsoll.max": "3", "plimsoll.behavior.down.stabilise": "1s"}))
    swarm.create("other", replicas=1, labels={"plimsoll.enabel": "true"}, publish=False)
    p.wait_ready(1, "shop", 40)
    trouble = wait(lambda: "; ".join(t for t in p.status()["troubles"] if "label" in t), 20, "a trouble")
    assert "label plimsoll.mni of service shop" in trouble and 'did you mean "min"?' in trouble
    assert "label plimsoll.behavior.down.stabilise" in trouble and 'did you mean "stabilize"?' in trouble
    said(p, 'did you mean "min"?')
    said(p, "plimsoll.enabel")
    assert "did you mean" in p.log_tail()
    assert p.service("shop")["max"] == 3
    swarm.update("shop", lambda spec: [spec["Labels"].pop("plimsoll.mni"),
                                       spec["Labels"].pop("plimsoll.behavior.down.stabilise")])
    wait(lambda: not any("plimsoll.mni" in t for t in p.status()["troubles"]), 40, "the trouble's end")


def deployed(p, swarm, name, **labels):
    """A further service, and what is said of it."""
    swarm.create(name, replicas=1, labels=labels_for(p, **labels))
    return wait(lambda: [t for t in p.status()["troubles"] if f"service {name}" in t], 40, f"a word on {name}")


SCALED = {"plimsoll.min": "1", "plimsoll.max": "2"}


def test_who_was_there_first_stays(swarm, make):
    """A newcomer that wants a listener or a name of one that serves is refused and named, and no request is lost."""
    p = make(config=config(swarm, DISCOVER)).start()
    swarm.create("shop", replicas=2, labels=labels_for(p, **{"plimsoll.min": "2", "plimsoll.max": "2"}))
    p.wait_ready(2, "shop", 40)
    names = {i["id"] for i in p.service("shop")["instances"]}
    with Load(p.port, clients=2) as load:
        said_of = deployed(p, swarm, "another", **SCALED)
        assert said_of[0].startswith("label plimsoll.listen of service another: ") and said_of[0] in GUIDE, said_of
        own = {"plimsoll.listen": "127.0.0.1:0", "plimsoll.name": "shop"}
        said_of = deployed(p, swarm, "dup", **own, **SCALED)
        assert said_of == ["label plimsoll.name of service dup: service shop and service dup both want the name shop; "
                           "service dup is left out"]
        assert said_of[0] in GUIDE
        deployed(p, swarm, "broken", **own, **{"plimsoll.max": "many", "plimsoll.min": "few"})
        deployed(p, swarm, "s-hop", **SCALED, **{"plimsoll.name": "shop", "plimsoll.listen": f"127.0.0.1:{p.port}"})
        before = load.ok
        wait(lambda: load.ok > before + 50, 20, "more answers")
        assert {i["id"] for i in p.service("shop")["instances"]} == names
        troubles = p.status()["troubles"]
        assert not any("of service shop" in t or t.startswith("service shop:") for t in troubles), troubles
    assert not load.failures, load.failures[:3]
    p.stop()
    p.start()
    p.wait_ready(2, "shop", 40)
    wait(lambda: sorted(p.status()["troubles"]) == sorted(troubles), 40, "the same troubles as before")
    swarm.api("DELETE", "/services/shop")
    wait(lambda: not any("dup is left out" in t for t in p.status()["troubles"]), 40, "the next one to have the name")
    p.wait_ready(1, "shop", 40)
    p.wait_ready(1, "another", 40)
    assert p.get()[0] == 200  # of `another`, which has the listener now


def test_the_oldest_one_has_it(swarm, make):
    """Of those that are all new here, whatever the order of their names and ids."""
    p = make(config=config(swarm, DISCOVER))
    for name in ("m", "z", "a", "k"):
        swarm.create(name, replicas=1, labels=labels_for(p, **SCALED, **{"plimsoll.name": "shop"}))
    p.start()
    p.wait_ready(1, "shop", 40)
    assert sorted(t.split(":")[0] for t in p.status()["troubles"]) == [
        f"label plimsoll.name of service {name}" for name in "akz"]


def test_a_wrong_label_of_a_service_that_runs(swarm, make):
    """Its last good labels stay in force, all of them, over a restart too; and then what is put right is taken."""
    p = make(config=config(swarm, DISCOVER)).start()
    swarm.create("shop", replicas=1, labels=labels_for(p, **{
        "plimsoll.min": "1", "plimsoll.max": "10", "plimsoll.behavior.down.stabilize": "1s"}))
    p.wait_ready(1, "shop", 40)
    p.cli("scale", "shop", "4")
    p.wait_ready(4, "shop", 40)
    p.cli("pause", "shop")
    swarm.update("shop", lambda spec: spec["Labels"].update({"plimsoll.max": "10x", "plimsoll.min": "2"}))
    said(p, "label plimsoll.max of service shop", 40)
    trouble = next(t for t in p.status()["troubles"] if "plimsoll.max" in t)
    assert trouble.endswith("; service shop goes on as it was"), trouble
    assert trouble in GUIDE

    def as_it_was():
        s = p.service("shop")
        return s["min"] == 1 and s["max"] == 10 and s["ready"] == 4 and swarm.replicas("shop") == 4

    assert as_it_was()
    p.kill_role("controller")
    wait(lambda: (p.try_status() or {"troubles": []})["troubles"] == [trouble], 40, "the same trouble")
    wait(as_it_was, 20, "the service as it was")
    swarm.update("shop", lambda spec: spec["Labels"].update({"plimsoll.max": "8"}))
    wait(lambda: p.service("shop")["max"] == 8 and p.service("shop")["min"] == 2, 40, "the new labels")
    assert p.status()["troubles"] == [] and swarm.replicas("shop") == 4
    said(p, "scale.max: 10 -> 8")
    assert not any(t.startswith("discovered: ") and t.endswith("; ") for t in texts(p))


def test_an_engine_that_is_not_there(tmp_path, make):
    """Nothing is discovered yet, so there is no service to say it."""
    p = make(config=DISCOVER.replace("@SOCKET@", str(tmp_path / "nope"))).start()
    trouble = wait(lambda: p.status()["troubles"], 20, "a trouble")
    assert len(trouble) == 1 and trouble[0].startswith("swarm: no services can be found: ")
    assert str(tmp_path / "nope") in trouble[0], trouble
    assert said(p, trouble[0]) == trouble
    assert trouble[0] in p.log_tail()


def test_an_engine_that_is_no_manager(docker, make):
    """It is told until it is one."""
    p = make(config=config(docker, DISCOVER)).start()
    trouble = wait(lambda: p.status()["troubles"], 20, "a trouble")
    assert "This node is not a swarm manager" in trouble[0], trouble
    assert trouble[0] in GUIDE, trouble
    assert said(p, trouble[0]) == trouble
    address = f"127.0.0.1:{free_port()}"
    status, body = docker.api("POST", "/swarm/init", {"ListenAddr": address, "AdvertiseAddr": address})
    assert status == 200, body
    try:
        wait(lambda: p.status()["troubles"] == [], 40, "the trouble's end")
        wait(lambda: sorted(e["kind"] for e in p.events() if e["text"] == trouble[0]) == ["alert", "resolved"],
             20, "both in the events")
    finally:
        p.stop()
        docker.api("POST", "/swarm/leave?force=1")


@pytest.mark.parametrize("value", ["yes", "True", "1"])
def test_enable_is_true_or_false(swarm, make, value):
    p = make(config=config(swarm, DISCOVER)).start()
    assert 'label plimsoll.enable of service shop: "yes" is neither true nor false' in GUIDE
    swarm.create("shop", replicas=1, labels=labels_for(p, **{"plimsoll.enable": value}))
    said(p, f'label plimsoll.enable of service shop: "{value}" is neither true nor false', 40)
    assert p.status()["services"] == []


def test_enable_in_doubt_ends_nothing(swarm, make):
    p = make(config=config(swarm, DISCOVER)).start()
    swarm.create("shop", replicas=1, labels=labels_for(p, **SCALED))
    p.wait_ready(1, "shop", 40)
    with Load(p.port, clients=2) as load:
        swarm.update("shop", lambda spec: spec["Labels"].update({"plimsoll.enable": "True"}))
        said(p, '"True" is neither true nor false; it stays, for it runs here', 40)
        p.kill_role("controller")
        wait(lambda: any("it stays" in t for t in (p.try_status() or {"troubles": []})["troubles"]), 40, "the trouble")
        p.wait_ready(1, "shop", 40)
    assert not load.failures, load.failures[:3]
    swarm.update("shop", lambda spec: spec["Labels"].update({"plimsoll.enable": "false"}))
    wait(lambda: p.status()["services"] == [] and p.status()["troubles"] == [], 40, "it to be let go")


def test_a_global_service_with_labels(swarm, make):
    """It is refused once, and not started again and again."""
    p = make(config=config(swarm, DISCOVER)).start()
    swarm.create("shop", mode={"Global": {}}, labels=labels_for(p), publish=False)
    said(p, "service shop is left out: it is global or a job, and has no replicas to set", 40)
    assert p.status()["services"] == [] and len(p.status()["troubles"]) == 1


def test_nothing_is_left_of_a_service(swarm, make):
    """Without its listener the load would be unknown."""
    p = make(config=config(swarm, DISCOVER)).start()
    swarm.create("shop", replicas=1, labels=labels_for(p, **{
        "plimsoll.listen": "nowhere", "plimsoll.target.rps": "10"}))
    trouble = wait(lambda: p.status()["troubles"], 40, "a trouble")
    assert len(trouble) == 2 and trouble[0].startswith("label plimsoll.listen of service shop: "), trouble
    assert trouble[1].startswith("service shop is left out, because "), trouble
    assert p.status()["services"] == []


def test_rules_by_number_come_first(swarm, make):
    p = make(config=config(swarm, DISCOVER)).start()
    swarm.create("shop", replicas=1, labels=labels_for(p, **{
        "plimsoll.target.concurrency": "4", "plimsoll.rules.0.schedule.cron": "0 9 * *",
        "plimsoll.rules.0.schedule.for": "9h", "plimsoll.rules.0.schedule.min": "2"}))
    said(p, "label plimsoll.rules.0.schedule.cron of service shop: services.shop.scale.rules[0].", 40)


def test_a_port_that_is_not_published(swarm, make):
    p = make(config=config(swarm, DISCOVER)).start()
    swarm.create("shop", replicas=1, labels={**labels_for(p), "plimsoll.port": "8001", "plimsoll.reach": "auto"})
    said(p, f"it publishes port {PORT} in mode host, not 8001", 40)


def test_discovered_services_survive_a_restart(swarm, make):
    """Of the controller and of the whole: they are in the journal's configuration, and not left in between."""
    p = make(config=config(swarm, DISCOVER)).start()
    swarm.create("shop", replicas=2, labels=labels_for(p, **{"plimsoll.min": "2", "plimsoll.max": "2"}))
    p.wait_ready(2, "shop", 40)
    names = {i["id"] for i in p.service("shop")["instances"]}
    old = p.kill_role("controller")
    wait(lambda: (p.try_status() or {"controller": {"pid": old}})["controller"]["pid"] != old, 20, "another")
    p.wait_ready(2, "shop", 40)
    assert {i["id"] for i in p.service("shop")["instances"]} == names
    p.stop()
    p.start()
    p.wait_ready(2, "shop", 40)
    assert swarm.replicas("shop") == 2


# -- several nodes --------------------------------------------------------------------------------


def test_node_drain(swarm_of_three, make):
    manager = swarm_of_three[0]
    manager.create("shop", replicas=3, placement={"MaxReplicas": 0})
    try:
        p = make(config=config(manager).replace("min: 1", "min: 3")).start()
        p.wait_ready(3, within=60)
        hosts = {i["address"].split(":")[1] for i in p.service()["instances"]}
        assert len(hosts) == 3, hosts
        node = next(n for n in manager.nodes() if n["Status"]["Addr"] == swarm_of_three[2].address)
        with Load(p.port, clients=3) as load:
            manager.set_availability(node["ID"], "drain")
            wait(lambda: not any(swarm_of_three[2].address in i["address"] for i in p.service()["instances"]),
                 60, "nothing on the drained node")
            p.wait_ready(3, within=60)
        assert not load.failures, load.failures[:3]
        assert manager.replicas("shop") == 3
        manager.set_availability(node["ID"], "active")
    finally:
        manager.remove_services()
