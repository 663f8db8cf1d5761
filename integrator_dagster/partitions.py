"""The one partitions definition, and which partners a run is about."""

from collections.abc import Mapping, Sequence

from dagster import BackfillPolicy, DagsterInstance, DynamicPartitionsDefinition

PARTNERS = DynamicPartitionsDefinition(name="partners")
"""Every partitioned asset has this one, ingest included: Dagster refuses a job over two definitions."""

ONE_RUN = BackfillPolicy.single_run()
"""The night is one run over all partners, never a run per partner."""

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
SINGLE = "dagster/partition"
ONLY = "integrator/partners"
"""Names the partners of a run that is about some of its range: Dagster's ranges have no holes."""


def range_tags(known: Sequence[str], wanted: Sequence[str] | None = None) -> dict[str, str]:
    """Run tags that make one run over `wanted`, by default all of `known` (partition keys in the order they were added)."""
    chosen = [key for key in known if wanted is None or key in wanted]
    if not chosen:
        return {}
    tags = {RANGE_START: chosen[0], RANGE_END: chosen[-1]}
    hull = known[known.index(chosen[0]) : known.index(chosen[-1]) + 1]
    if len(hull) != len(chosen):
        tags[ONLY] = ",".join(chosen)
    return tags


def known_partners(instance: DagsterInstance) -> list[str]:
    """The partition keys, in the order they were added."""
    return list(instance.get_dynamic_partitions(str(PARTNERS.name)))


def partners_of(tags: Mapping[str, str], known: Sequence[str]) -> list[str]:
    """The partners a run with these tags is about; a run without a partition is about all of them."""
    if ONLY in tags:
        return [key for key in tags[ONLY].split(",") if key in known]
    if SINGLE in tags:
        return [tags[SINGLE]]
    if RANGE_START in tags and RANGE_END in tags:
        keys = list(known)
        # a partner removed since the run ended is an end of the range no more; the sensors still read its tags
        first = keys.index(tags[RANGE_START]) if tags[RANGE_START] in keys else 0
        last = keys.index(tags[RANGE_END]) + 1 if tags[RANGE_END] in keys else len(keys)
        return keys[first:last]
    return list(known)
