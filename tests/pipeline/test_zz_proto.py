import time
from pathlib import Path
from datetime import timedelta
import pytest
from dagster import DagsterInstance
from tests.pipeline.installation import *
def test_it(make_database, server, tmp_path_factory):
    home = tmp_path_factory.mktemp("inst")
    t=time.monotonic()
    def lap(s):
        nonlocal t
        n=time.monotonic(); print(f"{n-t:6.1f} {s}"); t=n
    clock=Clock()
    with platforms(home) as sb, DagsterInstance.ephemeral() as inst:
        lap("sandbox")
        sv=services_at(home, make_database(), server.redis_url, clock)
        register_all(sv, sb)
        lap("register")
        w=Installation(sv,sb,inst,clock)
        n=w.night(); lap("night1")
        for e in n.result.steps: print(e.partner,e.step,e.use_case,e.status,e.row_count,e.reason)
        for p,s in n.after.items():
            from collections import Counter
            print(p, Counter((v["use_case"],v["status"],v["rung"],v["model_version"]) for v in s.versions.values()), s.landed, len(s.messages))
        w.move(NOW+timedelta(hours=1), platforms_too=False)
        m=w.night(); lap("night2")
        for p,s in m.after.items(): print(p, len(s.versions), len(n.after[p].versions), s.landed==n.after[p].landed, s.current==n.after[p].current)
        w.move(NOW+timedelta(days=1))
        m2=w.night(); lap("night3")
        for p,s in m2.after.items(): print(p, len(s.versions), len(m.after[p].versions), s.landed, s.current==m.after[p].current, m2.result.message)
        print(m2.materialized)
