"""What the units promise, against what the settings say."""

import configparser
from pathlib import Path

import pytest

from facerec_tasks import log_shipper
from facerec_tasks.settings import Settings
from webapp.http.listening import BACKLOG

UNITS = Path("ami_build/image/units")
SERVICES = ("worker", "web", "controller", "flower", "journal")
SHARED = "facerec-journal.service"
"""Of either tier."""


def unit(name: str) -> configparser.ConfigParser:
    """A unit's file; of lines that may come again, the last."""
    found = configparser.ConfigParser(strict=False, interpolation=None)
    found.optionxform = str  # type: ignore[assignment, method-assign]
    found.read(UNITS / name)
    return found


def seconds(name: str) -> float:
    return float(unit(f"facerec-{name}.service")["Service"]["TimeoutStopSec"].removesuffix("s"))


def test_a_worker_has_time_for_its_longest_task_and_its_last_poll() -> None:
    settings = Settings()
    assert seconds("worker") > settings.task_time_limit + settings.poll_seconds
    # Whatever the limit is set to, it must be below this.
    assert seconds("worker") > settings.answer_timeout


def test_a_web_process_has_time_for_those_who_wait() -> None:
    assert seconds("web") > 2 * Settings().drain_timeout


def test_the_web_tiers_sockets_outlive_its_process() -> None:
    lines = (UNITS / "facerec-web.socket").read_text().splitlines()
    settings = Settings(host="0.0.0.0")
    assert [line.removeprefix("ListenStream=") for line in lines if "ListenStream=" in line] == [
        f"{host}:{port}" for host, port in ((settings.host, settings.port), settings.admin_address)
    ]
    assert f"Backlog={BACKLOG}" in lines
    service = unit("facerec-web.service")["Unit"]
    assert "facerec-web.socket" in service["Requires"].split()
    assert "facerec-web.socket" in service["After"].split()


@pytest.mark.parametrize("name", SERVICES)
def test_services_restart_always_and_stop_with_sigterm(name: str) -> None:
    found = unit(f"facerec-{name}.service")
    assert found["Unit"]["StartLimitIntervalSec"] == "0"
    assert found["Service"]["Restart"] == "always"
    assert found["Service"]["KillMode"] == "mixed"
    assert "network-online.target" in found["Unit"]["After"]
    assert not found.has_section("Install"), "a target is enabled, not a service"


def test_every_service_belongs_to_one_tier() -> None:
    wanted = [
        name
        for tier in ("app", "web")
        for name in unit(f"facerec-{tier}-tier.target")["Unit"]["Wants"].split()
    ]
    assert sorted(wanted) == sorted([*{*wanted}, SHARED, "facerec-settings.timer"])
    services = {name for name in wanted if name.endswith(".service")}
    assert {f"facerec-{name}.service" for name in (*SERVICES, "warm")} == services
    others = {f"facerec-{name}.service" for name in ("machine", "settings", "probe")}
    assert {p.name for p in UNITS.glob("facerec-*.service")} == {*services, *others}


@pytest.mark.parametrize(
    ("role", "tier"),
    [("worker", "app"), ("web", "web"), ("controller", "web"), ("flower", "web")],
)
def test_changed_settings_of_a_role_restart_its_service(role: str, tier: str) -> None:
    service = unit(f"facerec-{role}.service")
    file = service["Service"]["EnvironmentFile"].removeprefix("-")
    assert file == unit("facerec-restart@.path")["Path"]["PathChanged"].replace("%i", role)
    assert "facerec-settings.service" in service["Unit"]["After"]
    wanted = unit(f"facerec-{tier}-tier.target")["Unit"]["Wants"].split()
    assert {f"facerec-restart@{role}.path", "facerec-settings.timer"} <= {*wanted}
    first = unit("facerec-settings.service")["Unit"]["Before"].split()
    assert {f"facerec-{role}.service", f"facerec-restart@{role}.path"} <= {*first}


def test_the_log_shipper_covers_every_unit_and_stops_last() -> None:
    assert {f"facerec-{name}.service" for name in log_shipper.UNITS} == {
        p.name for p in UNITS.glob("facerec-*.service")
    }
    stopped_before_it = unit(SHARED)["Unit"]["Before"].split()
    assert {*stopped_before_it, SHARED} == {f"facerec-{name}.service" for name in SERVICES}
    assert seconds("journal") > log_shipper.GRACE
