"""An installation as large as a figure asks for: partners whose events, contacts and sales have landed long ago.

The rows are made by PostgreSQL itself, so that nobody waits for them; they are invented, and stand for size alone. A model
finds something in them: seasons of a series, stages of a lead that convert, prices that sell less.
"""

from datetime import UTC, datetime

from sqlalchemy import text

from integrator.steps.services import Services
from integrator.storage.partners import Partner, register

EVENTS = """
insert into landing.event (partner, platform, native_id, record_hash, updated_at, valid_from, arrived_at, name, starts_at,
  timezone, status, series_id, on_sale_at, capacity, attendance)
select partner, 'direct', 'e' || s || '-' || d, '', now() - interval '300 days', now() - interval '300 days', now(),
  'Show ' || s, date_trunc('day', now()) + make_interval(days => d, hours => 19), 'Europe/Berlin',
  case when d < -1 then 'completed' else 'scheduled' end, 's' || s, now() - interval '280 days', 300,
  case when d < -1 then cast(150 + s % 40 + 60 * sin(d / 58.0 + s) + noise * 30 as integer) end
from integrator.partner cross join generate_series(1, :series) as s
cross join generate_series(-:days + s % :every, 30, :every) as d
cross join lateral (select hashint4(s * 1000 + d) / 4294967296.0 + 0.5 as noise) as noise
"""
CONTACTS = """
insert into landing.contact (partner, platform, native_id, record_hash, updated_at, valid_from, arrived_at, created_at,
  stage, source, country, consent_processing, email_hash, converted_at)
select partner, 'direct', 'c' || i, '', seen, seen, now(), seen, (array['lead', 'trial', 'demo'])[1 + i % 3],
  (array['web', 'ad', 'fair'])[1 + i % 3], 'DE', 'granted', decode(md5('c' || i), 'hex'),
  case when i > :leads and noise < (array[0.05, 0.15, 0.4])[1 + i % 3] then seen + interval '5 days' end
from integrator.partner cross join generate_series(1, :leads + :leads / 2) as i
cross join lateral (
  select now() - make_interval(days => case when i <= :leads then 6 + i % 80 else 95 + i % 200 end) as seen
) as seen
cross join lateral (select hashint4(i) / 4294967296.0 + 0.5 as noise) as noise
"""
SALES = """
insert into landing.sale (partner, platform, native_id, record_hash, updated_at, valid_from, arrived_at, event_id, contact_id,
  product, sold_at, quantity, unit_price, currency, status, refunded_quantity, refunded_amount)
select 'p' || i % :partners, 'direct', 's' || i, '', sold, sold, now(),
  'e' || s || '-' || -:days + s % :every + n % ((:days + 30 - s % :every) / :every + 1) * :every,
  'c' || 1 + n % :leads, 'product ' || n % 40, sold,
  1 + (4 - level) / 2 + abs(hashint4(i)) % 2, 20 + n % 40 + 2 * level, 'EUR', 'paid', 0, 0
from generate_series(1, :lines) as i cross join lateral (select i / :partners as n, 1 + i / :partners % :series as s) as at
cross join lateral (select now() - make_interval(hours => n % 4800) as sold, n / 336 % 5 as level) as sold
"""


def furnish(
    services: Services, *, partners: int, lines: int, leads: int, series: int, every: int = 1, days: int = 200
) -> None:
    """Partners `p0`, `p1`, …: `lines` sale lines among them, and of each so many open leads, half as many old ones that
    models learn from, and series of an event `every` days.

    Events reach from `days` ago until 30 days ahead; of yesterday's nobody has said yet how they ended. Nothing is
    harmonized.
    """
    now = datetime.now(UTC)
    for number in range(partners):
        entry = Partner(partner=f"p{number}", timezone="Europe/Berlin", currency="EUR", region="DE")
        register(services.database, entry, now)
    size = {"partners": partners, "lines": lines, "leads": leads, "series": series, "every": every, "days": days}
    with services.database.batch() as connection:
        for statement in (EVENTS, CONTACTS, SALES):
            connection.execute(text(statement), size)
        for table in ("event", "contact", "sale"):
            connection.execute(text(f"analyze landing.{table}"))
