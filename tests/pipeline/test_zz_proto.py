from tests.pipeline.story import *
from integrator_dagster.launch import run_retrain
def test_x(installation, healed):
    for config in ({"horizon_days":7},{"horizon_days":3},{"horizon_days":1},{"window_days":49},{"window_days":60},{"candidates":["weekday_profile"]},{"candidates":["prophet"]},{"candidates":["mean"]}):
        r = run_retrain(installation.instance, installation.services, "car_parks", "attendance", config={**config,"promote":False})
        v = installation.services.tracking.versions("attendance","car_parks")
        v = max(v, key=lambda x:int(x.version))
        print("CFG", config, r.success, v.candidate, v.metrics.get("mase"), v.reasons[:3])
