"""Windows, buckets and faults, on a clock of the test's own."""

from integrator_sandbox.limits import Bucket, Fault, Faults, SlidingWindow


class Ticker:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_window_slides_and_does_not_jump() -> None:
    ticker = Ticker()
    window = SlidingWindow(2, 10.0, ticker)
    assert window.take() is None
    ticker.now += 6
    assert window.take() is None
    assert window.take() == 4.0
    assert window.remaining == 0
    ticker.now += 4
    assert window.take() is None
    assert window.take() == 6.0


def test_refused_requests_do_not_count() -> None:
    ticker = Ticker()
    window = SlidingWindow(1, 10.0, ticker)
    window.take()
    for _ in range(5):
        assert window.take() is not None
    ticker.now += 10
    assert window.take() is None


def test_bucket_restores_up_to_its_size() -> None:
    ticker = Ticker()
    bucket = Bucket(1000.0, 100.0, ticker)
    assert bucket.take(900)
    assert not bucket.take(200)
    ticker.now += 1
    assert bucket.available == 200
    assert bucket.take(200)
    bucket.give_back(150)
    assert bucket.available == 150
    ticker.now += 1000
    assert bucket.available == 1000


def test_faults_meet_their_platform_and_path_and_run_out() -> None:
    faults = Faults([Fault("pretix", 500, count=2), Fault("hubspot", 401, path="/crm/")])
    assert faults.next_for("shopify", "/shopify/x") is None
    assert faults.next_for("hubspot", "/hubspot/oauth/v1/token") is None
    met = [faults.next_for("pretix", "/pretix/x") for _ in range(3)]
    assert [fault.status if fault else None for fault in met] == [500, 500, None]
    found = faults.next_for("hubspot", "/hubspot/crm/v3")
    assert found is not None
    assert found.status == 401
