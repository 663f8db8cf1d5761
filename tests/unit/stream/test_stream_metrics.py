"""What the worker says of itself at a loopback port."""

import http.client

from integrator.embedded.endpoints import HOST
from integrator_stream.metrics import Metrics, serve


def test_counters_add_up_and_gauges_are_what_they_are_now() -> None:
    metrics = Metrics()
    metrics.add("integrator_stream_records_total", 3, outcome="accepted")
    metrics.add("integrator_stream_records_total", outcome="accepted")
    metrics.set_all("integrator_stream_lag", {(("partition", "0"),): 7, (("partition", "1"),): 2})
    metrics.set_all("integrator_stream_lag", {(("partition", "1"),): 1})
    lines = metrics.text().splitlines()
    assert 'integrator_stream_records_total{outcome="accepted"} 4' in lines
    assert [line for line in lines if line.startswith("integrator_stream_lag")] == [
        'integrator_stream_lag{partition="1"} 1'
    ]
    assert "# TYPE integrator_stream_records_total counter" in lines
    assert "# TYPE integrator_stream_lag gauge" in lines
    assert metrics.value("integrator_stream_records_total", outcome="accepted") == 4
    assert metrics.value("integrator_stream_records_total", outcome="unchanged") == 0


def test_the_pages_say_whether_partitions_are_read() -> None:
    metrics, ready = Metrics(), [False]
    server = serve(metrics, 0, lambda: ready[0])
    try:
        assert server.server_address[0] == HOST
        port = int(server.server_address[1])
        assert said(port, "/healthz") == (503, "waiting for partitions\n")
        ready[0] = True
        assert said(port, "/healthz") == (200, "reading\n")
        assert said(port, "/metrics") == (200, metrics.text())
        assert said(port, "/etc/passwd")[0] == 404
    finally:
        server.shutdown()
        server.server_close()


def said(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found
