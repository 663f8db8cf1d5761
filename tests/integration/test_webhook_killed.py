"""A sender's process is killed in the middle, for real: what was not written down goes out again, and nothing is lost."""

import base64
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from standardwebhooks import Webhook

from integrator.delivery.webhook.queue import Queue
from integrator.steps.deliver import deliver, keep_delivering
from integrator.steps.services import Services
from integrator.storage import webhooks
from integrator.storage.outbox import Due
from tests.serving import serving
from tests.webhook_receiver import Receiver, put_out

COUNT = 400
KILLED_AT = 150
SENDER = """
import threading
from integrator.settings import load_settings
from integrator.steps.deliver import keep_delivering
from integrator.steps.services import open_services
keep_delivering(open_services(load_settings(), migrated=False), threading.Event())
"""


def sender(services: Services, server: Any) -> subprocess.Popen[bytes]:
    """A process that does nothing but send."""
    address = services.database.address
    return subprocess.Popen(
        [sys.executable, "-c", SENDER],
        env={
            **os.environ, "INTEGRATOR_HOME": str(server.home), "INTEGRATOR_REDIS_URL": services.redis_url,
            "INTEGRATOR_DATABASE_URL": f"postgresql://{address.owner}:{address.password}@{address.host}:{address.port}/{address.name}",
            "INTEGRATOR_MASTER_KEY": base64.b64encode(bytes(range(32))).decode(),
            "INTEGRATOR_ALLOW_LOOPBACK_WEBHOOKS": "true",
        },
    )  # fmt: skip


def statuses(services: Services) -> Counter[str]:
    with services.database.partner("alpha") as connection:
        return Counter(connection.execute(text("select status from ops.outbox where partner = 'alpha'")).scalars())


def test_a_killed_sender_loses_nothing_and_its_work_is_taken_up(services: Services, server: Any) -> None:
    live = replace(services, clock=lambda: datetime.now(UTC))
    receiver = Receiver()
    with serving(receiver) as url:
        made = webhooks.add(live.database, "alpha", url, live.clock(), allow_loopback=True)
        put_out(live, *(f"e{number}" for number in range(COUNT)))
        process = sender(live, server)

        def kill() -> None:
            if len(receiver.got) == KILLED_AT:
                process.send_signal(signal.SIGKILL)

        receiver.before = kill
        process.wait(timeout=120)
        assert process.returncode == -signal.SIGKILL
        assert KILLED_AT <= len(receiver.got) < COUNT and statuses(live)["pending"] > 0
        receiver.before = None
        stop = threading.Event()
        thread = threading.Thread(target=keep_delivering, args=(live, stop))
        thread.start()
        for _ in range(1_500):
            if statuses(live)["pending"] == 0:
                break
            time.sleep(0.02)
        stop.set()
        thread.join(timeout=30)
    assert statuses(live) == {"delivered": COUNT}
    ids = Counter(headers["webhook-id"] for headers, _ in receiver.got)
    assert len(ids) == COUNT and max(ids.values()) <= 2
    for headers, body in receiver.got:
        assert Webhook(made.secret).verify(body, headers)
    assert deliver(live, "alpha").delivered == 0


def test_jobs_of_a_dead_worker_stand_in_nobodys_way(services: Services) -> None:
    """One was taken by a worker that died, one was called for since, under the same queueing lock: all is sent."""
    live, receiver = replace(services, clock=lambda: datetime.now(UTC)), Receiver()
    with serving(receiver) as url:
        made = webhooks.add(live.database, "beta", url, live.clock(), allow_loopback=True)
        put_out(live, "gala", partner="beta")
        with live.database.service() as connection:
            connection.exec_driver_sql("set local search_path to queue")
            worker = connection.exec_driver_sql(
                "insert into procrastinate_workers (last_heartbeat) values (now() - interval '1 hour') returning id"
            ).scalar_one()
            taken = connection.execute(
                text(
                    "update procrastinate_jobs set status = 'doing', worker_id = :worker where args ->> 'partner' = 'beta'"
                ),
                {"worker": worker},
            ).rowcount
        assert taken == 1
        assert Queue(live.database).call("beta", [Due(made.endpoint_id, False)]) == 1
        stop = threading.Event()
        thread = threading.Thread(target=keep_delivering, args=(live, stop))
        thread.start()
        for _ in range(1_500):
            with live.database.service() as connection:
                left = connection.exec_driver_sql("select count(*) from queue.procrastinate_jobs").scalar_one()
            if not left and receiver.got:
                break
            time.sleep(0.02)
        stop.set()
        thread.join(timeout=30)
    assert (left, len(receiver.got)) == (0, 1)
