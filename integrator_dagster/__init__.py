"""When and in what order: the only importer of dagster. What a step does is in `integrator.steps`."""
