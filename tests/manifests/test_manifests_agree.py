"""What the objects of `manifests/` say about each other, and what their command lines say to us."""

import json
import re

import pytest
from manifest_machines import BUILT, Machine, machines, reachable, understood
from manifest_renderer import ROOT, Object, pod_spec, read
from support.domain_samples import sample

from sidecar.domain.command import define_domain
from sidecar.domain.options import Graphics
from sidecar.domain.vmi import read_vmi

VM_LABEL = "vdi-sidecar/vm"
CONSOLES = {"podSelector": {"matchLabels": {"vdi-sidecar/console": "true"}}}
MANAGERS = {"podSelector": {"matchLabels": {"vdi-sidecar/manager": "true"}}}

COPIED = {"password", "users", "client-ca.crt", "roles.toml"}

every_machine = pytest.mark.parametrize("machine", machines(), ids=lambda machine: machine.directory)


def test_each_way_to_run_it_is_there() -> None:
    served = {tuple(sorted(reachable(understood(machine.sidecars[0])))) for machine in machines()}
    assert served >= {
        (),
        ("rdp", "vnc"),
        ("rdp", "vnc", "web"),
        ("metrics", "rdp", "vnc"),
        ("api", "rdp", "vnc"),
        ("api", "metrics", "rdp", "vnc", "web"),
    }


@every_machine
def test_kubevirt_knows_every_key_of_the_annotation(machine: Machine) -> None:
    for sidecar in machine.sidecars:
        assert sidecar.keys() <= {"image", "imagePullPolicy", "command", "args", "configMap", "pvc"}
        if "configMap" in sidecar:
            assert sidecar["configMap"].keys() == {"name", "key", "hookPath"}
        if "pvc" in sidecar:
            assert sidecar["pvc"].keys() - {"sharedComputePath"} == {"name", "volumePath"}


@every_machine
def test_the_program_understands_its_arguments(machine: Machine) -> None:
    options = understood(machine.sidecars[0])
    assert not options.insecure
    served = reachable(options)
    assert len(set(served.values())) == len(served)
    if served:
        assert options.auth in ("password", "ticket")
    if "api" in served:
        # a way in that takes no password needs somebody who has a role
        assert options.api_client_ca is not None
        assert options.api_roles is not None
    # what says how the domain is rewritten stands in annotations, where the shim's script sees it too
    assert (options.graphics, options.screen, options.audio, options.input) == (None, None, None, None)


@every_machine
def test_files_of_the_command_line_are_on_its_volume(machine: Machine) -> None:
    options, volume = understood(machine.sidecars[0]), machine.sidecars[0].get("pvc", {})
    copied = (options.password_file, options.users_file, options.api_client_ca, options.api_roles)
    for path in (*copied, options.tls_dir, options.bus_dir):
        if path is not None:
            assert path.is_relative_to(volume["volumePath"])
    # what the Job copies: its script is run by test_secrets_on_a_volume
    assert {path.name for path in copied if path is not None} <= COPIED
    if options.bus_dir is not None:
        assert str(options.bus_dir_for_qemu) == volume["sharedComputePath"]
    else:
        # a password does not belong where QEMU runs
        assert "sharedComputePath" not in volume


@every_machine
def test_the_volume_is_one_that_is_applied(machine: Machine) -> None:
    claims = {
        each["metadata"]["name"]
        for each in [*machine.beside, *BUILT["manifests/secrets"]]
        if each["kind"] == "PersistentVolumeClaim"
    }
    for sidecar in machine.sidecars:
        if "pvc" in sidecar:
            assert sidecar["pvc"]["name"] in claims


@every_machine
def test_services_lead_to_what_is_served_and_leave_nothing_out(machine: Machine) -> None:
    served = reachable(understood(machine.sidecars[0]))
    served.pop("metrics", None)
    led = {port["targetPort"] for each in machine.of_kind("Service") for port in each["spec"]["ports"]}
    assert led == set(served.values())
    for each in machine.of_kind("Service"):
        assert each["spec"]["type"] == "ClusterIP"
        assert each["spec"]["selector"].items() <= machine.metadata["labels"].items()


@every_machine
def test_masquerade_has_ports_and_none_of_them_is_ours(machine: Machine) -> None:
    (interface,) = machine.spec["domain"]["devices"]["interfaces"]
    assert "masquerade" in interface
    assert machine.guest_ports
    assert not machine.guest_ports & set(reachable(understood(machine.sidecars[0])).values())


@every_machine
def test_consoles_get_in_and_the_guest_keeps_its_own_ports(machine: Machine) -> None:
    served = reachable(understood(machine.sidecars[0]))
    if not served:
        assert not machine.of_kind("NetworkPolicy")
        return
    metrics = {served.pop("metrics")} if "metrics" in served else set()
    api = {served.pop("api")} if "api" in served else set()
    by_whom: dict[str, set[int]] = {}
    for policy in machine.of_kind("NetworkPolicy"):
        assert policy["spec"]["policyTypes"] == ["Ingress"]
        assert policy["spec"]["podSelector"] == {"matchLabels": {VM_LABEL: machine.name}}
        for rule in policy["spec"]["ingress"]:
            ports = {port["port"] for port in rule["ports"] if port["protocol"] == "TCP"}
            assert len(ports) == len(rule["ports"])
            for whom in rule.get("from", [{}]):
                by_whom.setdefault(json.dumps(whom, sort_keys=True), set()).update(ports)
    assert by_whom.pop(json.dumps(CONSOLES)) == set(served.values())
    assert by_whom.pop(json.dumps(MANAGERS), set()) == api
    assert by_whom.pop("{}") == machine.guest_ports
    assert set().union(*by_whom.values()) == metrics
    assert machine.metadata["labels"][VM_LABEL] == machine.name


@every_machine
def test_metrics_are_scraped_from_the_sidecar(machine: Machine) -> None:
    port = reachable(understood(machine.sidecars[0])).get("metrics")
    assert len(machine.of_kind("PodMonitor")) == (port is not None)
    for monitor in machine.of_kind("PodMonitor"):
        assert monitor["spec"]["selector"]["matchExpressions"] == [{"key": VM_LABEL, "operator": "Exists"}]
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        for ip, address in (("10.0.0.7", f"10.0.0.7:{port}"), ("fd00::7", f"[fd00::7]:{port}")):
            for container in ("hook-sidecar-0", "compute"):
                target = {
                    "__address__": ip,
                    "__meta_kubernetes_pod_ip": ip,
                    "__meta_kubernetes_pod_container_name": container,
                    "__meta_kubernetes_pod_label_vdi_sidecar_vm": "myvm",
                }
                scraped = relabelled(target, endpoint["relabelings"])
                if container == "compute":
                    assert scraped is None
                else:
                    assert scraped is not None
                    assert (scraped["__address__"], scraped["name"]) == (address, "myvm")


def relabelled(target: dict[str, str], rules: list[Object]) -> dict[str, str] | None:
    """The labels that Prometheus gives a target, None if it drops it: its rules `keep` and `replace`."""
    labels = dict(target)
    for rule in rules:
        (source,) = rule["sourceLabels"]
        match = re.fullmatch(rule.get("regex", "(.*)"), labels.get(source, ""))
        if rule["action"] == "keep":
            if not match:
                return None
        elif match:
            assert rule["action"] == "replace"
            labels[rule["targetLabel"]] = match.expand(
                re.sub(r"\$(\d)", r"\\g<\1>", rule.get("replacement", "$1"))
            )
    return labels


@every_machine
def test_the_reporters_account_may_patch_its_own_vmi_and_nothing_else(machine: Machine) -> None:
    accounts = {
        volume["name"]: volume["serviceAccount"]["serviceAccountName"]
        for volume in machine.spec["volumes"]
        if "serviceAccount" in volume
    }
    assert bool(accounts) == understood(machine.sidecars[0]).annotate_vmi
    assert len(machine.of_kind("RoleBinding")) == len(machine.of_kind("Role")) == len(accounts)
    for name in accounts.values():
        (account,) = machine.of_kind("ServiceAccount")
        (role,), (binding,) = machine.of_kind("Role"), machine.of_kind("RoleBinding")
        assert account["metadata"]["name"] == name
        (subject,) = binding["subjects"]
        namespace = account["metadata"]["namespace"]
        assert subject == {"kind": "ServiceAccount", "name": name, "namespace": namespace}
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        assert role["rules"] == [
            {
                "apiGroups": ["kubevirt.io"],
                "resources": ["virtualmachineinstances"],
                "resourceNames": [machine.name],
                "verbs": ["get", "patch"],
            }
        ]


@every_machine
def test_every_volume_has_its_disk(machine: Machine) -> None:
    disks = {disk["name"] for disk in machine.spec["domain"]["devices"]["disks"]}
    assert disks == {volume["name"] for volume in machine.spec["volumes"]}


@every_machine
def test_the_rewrite_takes_the_vmi_as_it_is_rendered(machine: Machine) -> None:
    mode = Graphics(machine.metadata["annotations"]["vdi-sidecar/graphics"])
    environ = {"CONTAINER_NAME": "hook-sidecar-0"}
    domain = sample("amd64-default-vnc")
    made = define_domain(machine.as_json, domain, environ=environ)
    assert made == define_domain(None, domain, graphics=mode, environ=environ)
    assert made != domain
    grace = machine.spec.get("terminationGracePeriodSeconds")
    assert read_vmi(machine.as_json).grace == grace


@pytest.mark.parametrize("directory", BUILT)
def test_images_are_named_alike_and_never_the_latest(directory: str) -> None:
    (names,) = [each["data"] for each in read(ROOT / "manifests" / "images" / "images.yaml")]
    text = json.dumps(BUILT[directory])
    assert "to-be-replaced" not in text
    images = re.findall(r'"image\\?": \\?"([^"\\]+)', text)
    for image in images:
        _, colon, tag = image.rpartition("/")[2].partition(":")
        assert colon
        assert tag not in ("", "latest")
        own = re.fullmatch(r"registry\.example\.org/(vdi-sidecar|vdi-sidecar-demo-guest):.*", image)
        assert own is None or image in names.values()


@pytest.mark.parametrize("directory", BUILT)
def test_names_are_labels_of_dns(directory: str) -> None:
    for each in BUILT[directory]:
        # objects of admission may have dots in their names
        pattern = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?" + (r"(\.[-a-z0-9]+)*" if "plugin" in directory else "")
        assert re.fullmatch(pattern, each["metadata"]["name"])


def test_the_shims_script_is_the_one_file() -> None:
    (machine,) = [each for each in machines() if each.directory.endswith("sidecar-shim")]
    (config_map,) = machine.of_kind("ConfigMap")
    ours, shim = machine.sidecars
    assert shim["configMap"] == {
        "name": config_map["metadata"]["name"],
        "key": "onDefineDomain",
        "hookPath": "/usr/bin/onDefineDomain",
    }
    assert config_map["data"] == {"onDefineDomain": (ROOT / "hooks" / "onDefineDomain").read_text()}
    # no image: the cluster's own shim; it has no Shutdown before v1alpha3
    assert shim.keys() == {"args", "configMap"}
    assert shim["args"] == ["--version", "v1alpha3"]
    assert ours["command"] == ["vdi-sidecar", "hook"]


def test_the_cluster_gets_the_gate_and_room_for_the_sidecar() -> None:
    (kubevirt,) = BUILT["manifests/cluster"]
    configuration = kubevirt["spec"]["configuration"]
    assert configuration["developerConfiguration"]["featureGates"] == ["Sidecar"]
    (room,) = configuration["supportContainerResources"]
    assert room["type"] == "sidecar"
    page = (ROOT / "docs" / "kubevirt.md").read_text()
    for figure in (*room["resources"]["requests"].values(), *room["resources"]["limits"].values()):
        assert figure in page


def test_the_patch_leaves_the_gates_that_are_there() -> None:
    (patch,) = read(ROOT / "manifests" / "cluster" / "kubevirt-patch.yaml")
    gates = [each for each in patch if "featureGates" in each["path"]]
    assert [(each["op"], each["path"].rpartition("/")[2]) for each in gates] == [("add", "-")]


def test_session_affinity_is_by_the_viewers_address() -> None:
    services = [each for each in BUILT["manifests/examples/web"] if each["kind"] == "Service"]
    assert len(services) == 3
    assert {each["spec"]["sessionAffinity"] for each in services} == {"ClientIP"}


def test_the_job_runs_as_the_sidecars_user_on_the_machines_volume() -> None:
    claim, job = BUILT["manifests/secrets"]
    spec = pod_spec(job)
    assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == 107
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes["volume"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    mounts = {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts.keys() == volumes.keys()
    given = {each["name"]: each["value"] for each in spec["containers"][0]["env"]}
    assert given == {"FROM": mounts["secret"], "TO": mounts["volume"]}
