"""Outcomes as the platforms tell them: read off the harmonized records, for subjects that something was predicted of.

Each run states all of them anew and changes what differs: a value that was mended, an event that was moved, a record that
was deleted or erased. What an outcome means is said in the comments of `metrics.outcome`.
"""

from datetime import datetime

from sqlalchemy import Connection, text

FORESEEN = """
  select subject_kind, subject_id, platform, min(at) as first_at from ops.prediction_log
  where partner = :partner and use_case = :use_case group by 1, 2, 3"""

PEOPLE = """
  with held as (
    select event_id, series_id, platform, starts_at, attendance from harmonized.event
    where partner = :partner and attendance is not null and starts_at <= :now and status in ('scheduled', 'completed')
  ),
  named as (
    select held.*, f.subject_kind, f.subject_id, f.first_at from held
    join foreseen f on f.subject_kind = 'event' and f.subject_id = held.event_id and f.platform = held.platform
    union all
    select held.*, f.subject_kind, f.subject_id, f.first_at from held
    join foreseen f on f.subject_kind = 'series' and f.subject_id = held.series_id and f.platform = held.platform
  )
  select subject_kind, subject_id, platform, starts_at as happened_at, starts_at as begins_at,
    avg(attendance)::double precision as value, null::numeric as price, null::text as currency
  from named where first_at < starts_at
  group by 1, 2, 3, 4"""
"""A series has one outcome for each moment at which something of it began."""

SALES = """
  with lately as (
    select subject_kind, subject_id, platform, greatest(first_at, cast(:now as timestamptz) - interval '1 year') as first_at
    from foreseen
  ),
  home as (select timezone, currency from integrator.partner where partner = :partner),
  sold as (
    select platform, product || coalesce('/' || nullif(tier, ''), '') as subject_id,
      date_trunc('week', sold_on::timestamp) as monday, sum(net_quantity) as quantity,
      round(sum(unit_price_reported * quantity)
        / nullif(sum(quantity) filter (where unit_price_reported is not null), 0), 6) as price
    from harmonized.sale
    where partner = :partner and is_counted
      and sold_on >= (select (min(first_at) at time zone (select timezone from home))::date from lately)
    group by 1, 2, 3
  ),
  newest as (select platform, max(sold_on) as sold_on from harmonized.sale where partner = :partner group by 1),
  weeks as (
    select f.subject_kind, f.subject_id, f.platform, week as monday, home.timezone, home.currency
    from lately f cross join home
    join newest on newest.platform = f.platform
    cross join lateral generate_series(
      date_trunc('week', f.first_at at time zone home.timezone) + interval '7 days',
      least(date_trunc('week', cast(:now as timestamptz) at time zone home.timezone) - interval '7 days',
        newest.sold_on - interval '6 days'), interval '7 days') as week
  )
  select w.subject_kind, w.subject_id, w.platform, (w.monday + interval '7 days') at time zone w.timezone as happened_at,
    w.monday at time zone w.timezone as begins_at, coalesce(sold.quantity, 0)::double precision as value,
    nullif(sold.price, 0) as price, w.currency
  from weeks w
  left join sold on sold.platform = w.platform and sold.subject_id = w.subject_id and sold.monday = w.monday"""
"""Whole weeks, Monday to Sunday, of the partner's own days; up to the last Sunday by which the platform has sold anything:
a platform that was not heard of since has not sold nothing."""

CONVERSIONS = """
  with said as (
    select subject_kind, subject_id, platform, model_name, model_version, min(as_of) as as_of,
      max(cast(coalesce(prediction -> 'details' ->> 'horizon_days', feature_row ->> 'horizon_days') as integer)) as days
    from ops.prediction_log where partner = :partner and use_case = 'lead_score' group by 1, 2, 3, 4, 5
    union all
    select subject_kind, subject_id, platform, model_name, model_version, min(as_of),
      max(cast(prediction -> 'details' ->> 'horizon_days' as integer))
    from ops.shadow_prediction where partner = :partner and use_case = 'lead_score' group by 1, 2, 3, 4, 5
  ),
  known as (
    select f.subject_kind, f.subject_id, f.platform, f.as_of, f.as_of + f.days * interval '1 day' as due_at,
      contact.converted_at
    from said f
    join harmonized.identity as record
      on record.partner = :partner and record.platform = f.platform and record.native_id = f.subject_id
    join harmonized.contact on contact.partner = :partner and contact.person_id = record.person_id
  )
  select distinct subject_kind, subject_id, platform, moment as happened_at, moment as begins_at, value,
    null::numeric as price, null::text as currency
  from known
  cross join lateral (
    select converted_at as moment, 1::double precision as value where converted_at > as_of and converted_at <= :now
    union all
    select due_at, 0 where due_at <= :now and (converted_at is null or converted_at > due_at)
  ) as answer"""
"""A conversion, and the end of a horizon by which there was none: of the first word of each model on a lead."""

GATHERED = {"attendance": ("event", PEOPLE), "pricing": ("sale", SALES), "lead_score": ("identity", CONVERSIONS)}
"""By use case: the harmonized relation without which there is nothing to read, and the query."""


def gather(connection: Connection, partner: str, use_case: str, now: datetime) -> int:
    """Bring the platforms' outcomes of one use case up to date; how many are new, another than before, or gone.

    What changed waits to be joined again; answers to what is gone are taken back.
    """
    if use_case not in GATHERED:
        return 0
    relation, query = GATHERED[use_case]
    there: bool = connection.execute(
        text("select to_regclass(:name) is not null"), {"name": f"harmonized.{relation}"}
    ).scalar_one()
    if not there:
        return 0
    values = {"partner": partner, "use_case": use_case, "now": now}
    # Analyzed, because a plan made without knowing their size takes the product of both for a good idea.
    for name, made_of in (("foreseen", FORESEEN), ("gathered", query)):
        connection.execute(text(f"create temporary table {name} on commit drop as {made_of}"), values)
        connection.exec_driver_sql(f"analyze {name}")
    gone = connection.execute(text(_GONE), values).rowcount
    if gone:
        connection.execute(text(_TAKEN_BACK), values)
    changed = connection.execute(text(_UPSERT), values).rowcount
    connection.exec_driver_sql("drop table foreseen, gathered")
    return gone + changed


_GONE = """delete from metrics.outcome o
  where partner = :partner and use_case = :use_case and source = 'platform' and not exists (
    select from gathered g where g.subject_id = o.subject_id and g.subject_kind = o.subject_kind
      and g.platform = o.platform and g.happened_at = o.happened_at)"""
_TAKEN_BACK = """delete from metrics.realized r
  where partner = :partner and use_case = :use_case and outcome_source = 'platform' and not exists (
    select from metrics.outcome o where o.partner = :partner and o.use_case = :use_case and o.subject_id = r.subject_id
      and o.subject_kind = r.subject_kind and o.platform = r.platform and o.source = 'platform'
      and (r.subject_kind not in ('event', 'series', 'product', 'tier') or o.happened_at = r.due_at))"""
_UPSERT = """insert into metrics.outcome as known (partner, use_case, subject_kind, subject_id, platform, happened_at,
    source, begins_at, value, price, currency, received_at)
  select :partner, :use_case, subject_kind, subject_id, platform, happened_at, 'platform', begins_at, value, price,
    currency, :now
  from gathered
  on conflict (partner, use_case, subject_id, subject_kind, platform, happened_at, source) do update
    set begins_at = excluded.begins_at, value = excluded.value, price = excluded.price, currency = excluded.currency,
      received_at = excluded.received_at, joined_at = null
    where (known.begins_at, known.value, known.price, known.currency)
      is distinct from (excluded.begins_at, excluded.value, excluded.price, excluded.currency)"""
