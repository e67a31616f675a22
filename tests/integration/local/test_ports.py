"""A taken port is noticed, whichever address holds it."""

import socket

import pytest

from local.processes.ports import faults, free_port, is_taken


def listening(family: socket.AddressFamily, address: str, **options: bool) -> socket.socket:
    return socket.create_server((address, 0), family=family, **options)


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0")]
)
def test_a_port_is_taken_by_its_own_and_by_every_address(
    family: socket.AddressFamily, address: str
) -> None:
    with listening(family, address) as held:
        assert is_taken("127.0.0.1", held.getsockname()[1])


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_a_port_is_taken_by_an_ipv6_server_that_serves_ipv4_as_well() -> None:
    with listening(socket.AF_INET6, "::", dualstack_ipv6=True) as held:
        assert is_taken("127.0.0.1", held.getsockname()[1])


def test_a_free_port_is_free_and_one_that_was_just_closed_too() -> None:
    port = free_port()
    assert not is_taken("127.0.0.1", port)
    server = socket.create_server(("127.0.0.1", port))
    with server, socket.create_connection(("127.0.0.1", port)):
        server.accept()[0].close()  # our side closes first and lingers
    assert not is_taken("127.0.0.1", port)


def test_every_fault_is_named() -> None:
    with listening(socket.AF_INET, "127.0.0.1") as held:
        port = held.getsockname()[1]
        found = faults({"web": ("127.0.0.1", port), "Flower": ("192.0.2.1", 5555)})
    assert found[0] == f"port {port} (web) is taken by another process"
    assert found[1].startswith("port 5555 (Flower) on 192.0.2.1:")


def test_one_port_for_two_is_a_fault() -> None:
    port = free_port()
    wanted = {"web": ("127.0.0.1", port), "Flower": ("127.0.0.1", port)}
    assert faults(wanted) == [f"port {port} is wanted by web and Flower"]
