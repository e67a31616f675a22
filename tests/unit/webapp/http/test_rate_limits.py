from webapp.http.rate_limits import MAX_CLIENTS, RateLimiter


def test_rate_limit_allows_burst_then_rate() -> None:
    rates = RateLimiter(rate=2.0, burst=3)
    assert [rates.take("a", 0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert rates.take("a", 0.5) == 0.0
    assert rates.take("a", 0.5) > 0


def test_rate_limit_is_per_client() -> None:
    rates = RateLimiter(rate=1.0, burst=1)
    assert rates.take("a", 0.0) == rates.take("b", 0.0) == 0.0
    assert rates.take("a", 0.0) > 0


def test_rate_limit_bucket_is_capped_at_burst() -> None:
    rates = RateLimiter(rate=1.0, burst=2)
    assert [rates.take("a", 1e6) > 0 for _ in range(3)] == [False, False, True]


def test_rate_limit_cost_empties_bucket() -> None:
    rates = RateLimiter(rate=1.0, burst=10)
    assert rates.take("a", 0.0, cost=20) == 0.0
    assert rates.take("a", 0.0) == 1.0


def test_rate_limit_zero_is_unlimited() -> None:
    rates = RateLimiter(rate=0.0, burst=1)
    assert not any(rates.take("a", 0.0) for _ in range(10))


def test_rate_limit_memory_is_bounded() -> None:
    rates = RateLimiter(rate=1.0, burst=1)
    for n in range(MAX_CLIENTS + 10):
        rates.take(str(n), 0.0)
    assert rates.take("0", 0.0) == 0.0  # forgotten, so not limited any more
    assert rates.take(str(MAX_CLIENTS + 9), 0.0) > 0
