from webapp.http.rate_limits import MAX_CLIENTS, Rates


def test_a_burst_passes_and_then_the_rate_counts() -> None:
    rates = Rates(rate=2.0, burst=3)
    assert [rates.take("a", 0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert rates.take("a", 0.5) == 0.0
    assert rates.take("a", 0.5) > 0


def test_clients_do_not_share_a_bucket() -> None:
    rates = Rates(rate=1.0, burst=1)
    assert rates.take("a", 0.0) == rates.take("b", 0.0) == 0.0
    assert rates.take("a", 0.0) > 0


def test_an_idle_client_gets_no_more_than_its_burst() -> None:
    rates = Rates(rate=1.0, burst=2)
    assert [rates.take("a", 1e6) > 0 for _ in range(3)] == [False, False, True]


def test_a_dear_request_uses_up_the_bucket() -> None:
    rates = Rates(rate=1.0, burst=10)
    assert rates.take("a", 0.0, cost=20) == 0.0
    assert rates.take("a", 0.0) == 1.0


def test_no_rate_is_no_limit() -> None:
    rates = Rates(rate=0.0, burst=1)
    assert not any(rates.take("a", 0.0) for _ in range(10))


def test_memory_is_bounded() -> None:
    rates = Rates(rate=1.0, burst=1)
    for n in range(MAX_CLIENTS + 10):
        rates.take(str(n), 0.0)
    assert len(rates._buckets) == MAX_CLIENTS
