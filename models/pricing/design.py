"""What demand is explained by: the columns of the regression for a panel's periods and for a feature row's, alike.

Price, the partner's own fields, the prices of rivals in the group and tier, trend, holiday, weekday and season. The list of
columns and what was learned about the fields is a plain dict, so that it travels inside the model.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.pricing import attributes
from models.pricing.panel import Panel

Floats = NDArray[np.float64]

RIVALS = 10
"""Products of a group whose prices count one by one, those that sell most; all of them count in the mean."""
NAMED_RIVALS = 3_000
"""Up to so many products have rivals that count one by one; beyond, ten more columns for each are minutes of training."""
RIVAL_PERIODS = 30
LARGEST_UNNAMED_GROUP = 12
"""Products without a named group are rivals only where they are few: else the group is the whole shop."""
SEASON_WEEKS = 104
"""A season of the year needs to be seen twice."""
PRICE, TREND = "price", "trend"
_YEAR = 365.25


def learn(panel: Panel, *, controls: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """(what the columns are, fields left out with a code of the reason). Without `controls`: price and calendar alone."""
    fields: list[dict[str, Any]] = []
    dropped: dict[str, str] = {}
    rivals: dict[str, list[str]] = {}
    if controls:
        fields, dropped = attributes.learn(panel.grids, panel.quantity, panel.log_price, panel.is_active)
        if panel.is_open.sum() >= RIVAL_PERIODS:
            rivals = rivals_of(panel)
    width = max((len(names) for names in rivals.values()), default=0)
    named = range(width if len(panel.keys) <= NAMED_RIVALS else 0)
    columns = [PRICE, *(f"field:{facts['name']}" for facts in fields)]
    columns += ["rivals", *(f"rival:{number}" for number in named)] if width else []
    columns += [TREND] if controls else []
    columns += ["holiday"] if panel.holidays[panel.is_open].any() else []
    columns += [f"weekday:{number}" for number in range(1, 7)] if panel.period_days == 1 else []
    columns += ["season:sin", "season:cos"] if controls and panel.weeks >= SEASON_WEEKS else []
    return {"columns": columns, "fields": fields, "rivals": rivals, "period_days": panel.period_days}, dropped


def rivals_of(panel: Panel) -> dict[str, list[str]]:
    """By group, the products that sell most, by takings; groups of one product have none."""
    takings = np.nansum(panel.quantity * np.exp(np.nan_to_num(panel.log_price)), axis=1)
    by_group: dict[str, dict[str, float]] = {}
    for (_, product, _), group, amount in zip(panel.keys, panel.groups, takings.tolist(), strict=True):
        members = by_group.setdefault(group, {})
        members[product] = members.get(product, 0.0) + amount
    return {
        group: sorted(members, key=lambda product, of=members: (-of[product], product))[: RIVALS + 1]  # type: ignore[misc]
        for group, members in by_group.items()
        if len(members) > 1 and (group or len(members) <= LARGEST_UNNAMED_GROUP)
    }


def matrix(panel: Panel, spec: Mapping[str, Any], chosen: NDArray[np.intp], prices: "RivalPrices") -> Floats:
    """Products `chosen` × periods × columns. What is not known is taken as usual for its column."""
    known = np.isfinite(panel.log_price[chosen])
    x = np.zeros((len(chosen), panel.length, len(spec["columns"])))
    place = {name: number for number, name in enumerate(spec["columns"])}
    x[:, :, place[PRICE]] = np.where(known, panel.log_price[chosen], 0.0)
    for facts in spec["fields"]:
        grid = panel.grids.get(facts["name"])
        values = np.full(known.shape, np.nan) if grid is None else grid[chosen]
        x[:, :, place[f"field:{facts['name']}"]] = attributes.encode(facts, values)
    if "rivals" in place:
        first = place["rivals"]
        width = sum(name.startswith("rival:") for name in spec["columns"])
        for n, i in enumerate(chosen):
            x[n, :, first : first + 1 + width] = prices.columns(int(i), width)
    shared = calendar(spec, _days(panel), panel.holidays)
    if TREND in place:
        shared[:, place[TREND]] = np.linspace(-0.5, 0.5, panel.length)
    return x + shared[None, :, :]


def calendar(spec: Mapping[str, Any], days: NDArray[np.int64], holidays: Floats) -> Floats:
    """Periods × columns: holiday, weekday and season of days counted from 1970; every other column is zero."""
    x = np.zeros((len(days), len(spec["columns"])))
    weekday = (days + 3) % 7  # 1970-01-01 was a Thursday
    for number, name in enumerate(spec["columns"]):
        kind, _, which = name.partition(":")
        if kind == "holiday":
            x[:, number] = holidays
        elif kind == "weekday":
            # Effects sum to zero over the week.
            x[:, number] = (weekday == int(which)).astype(np.float64) - (weekday == 0)
        elif kind == "season":
            angle = 2 * np.pi * days / _YEAR
            x[:, number] = np.sin(angle) if which == "sin" else np.cos(angle)
    return x


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return day.toordinal() - date(1970, 1, 1).toordinal()


class RivalPrices:
    """Log prices of each product's rivals by period, at its own tier where they are sold there, else on average."""

    def __init__(self, panel: Panel, rivals: Mapping[str, Sequence[str]]) -> None:
        """`rivals` by group, as `rivals_of` gives them."""
        self._panel, self._rivals = panel, rivals
        self._filled = _backfilled(panel.log_price)
        self._made: dict[tuple[int, int], Floats] = {}
        self._units: dict[tuple[str, str, str], dict[str, int]] = {}
        for i, (platform, product, tier) in enumerate(panel.keys):
            if panel.groups[i] in rivals:
                self._units.setdefault((platform, panel.groups[i], product), {})[tier] = i
        self._means = {
            key: self._filled[list(tiers.values())].mean(axis=0)
            for key, tiers in self._units.items() if key[2] in rivals[key[1]]
        }  # fmt: skip

    def by_product(self, i: int) -> dict[str, Floats]:
        """Rival product → its log prices, in the order of the group's list; the product itself is not among them."""
        platform, product, tier = self._panel.keys[i]
        group = self._panel.groups[i]
        found = {}
        for rival in self._rivals.get(group, ()):
            tiers = self._units.get((platform, group, rival), {})
            if rival != product and tiers:
                found[rival] = self._filled[tiers[tier]] if tier in tiers else self._means[platform, group, rival]
        return found

    def columns(self, i: int, width: int) -> Floats:
        """Periods × (1 + `width`): the rivals' mean log price, then each one's difference from it."""
        if (i, width) not in self._made:
            order = self._rivals.get(self._panel.groups[i], ())
            self._made[i, width] = rival_columns(self.by_product(i), order, width, self._panel.length)
        return self._made[i, width]


def rival_columns(prices: Mapping[str, Floats], order: Sequence[str], width: int, length: int) -> Floats:
    """The columns of rivals from their log prices by product; zeros where there are none."""
    x = np.zeros((length, 1 + width))
    if prices:
        mean = np.mean(list(prices.values()), axis=0)
        x[:, 0] = mean
        for number, product in enumerate(order[:width]):
            if product in prices:
                x[:, 1 + number] = prices[product] - mean
    return x


def _days(panel: Panel) -> NDArray[np.int64]:
    return day_number(panel.first_day) + np.arange(panel.length, dtype=np.int64) * panel.period_days


def _backfilled(log_price: Floats) -> Floats:
    """Before its first sale a product is taken to cost what it then did."""
    known = np.isfinite(log_price)
    first = log_price[np.arange(len(log_price)), np.argmax(known, axis=1)]
    return np.where(known, log_price, first[:, None])


def row_effects(row: Mapping[str, Any], spec: Mapping[str, Any], beta: Floats) -> Floats:
    """Log effects of a feature row's recent periods: price, fields, rivals and calendar, as `matrix` has them."""
    recent = row["recent"]
    x = _row_matrix(recent["fields"], recent["rivals"], row["group"], spec, len(recent["ago"]))
    last = day_number(date.fromisoformat(row["last_day"])) - row["period_days"] + 1
    days = last - np.array(recent["ago"], dtype=np.int64) * row["period_days"]
    holidays = np.array(recent["holiday"] or [0.0] * len(days))
    x += calendar(spec, days, holidays)
    x[:, 0] = recent["log_price"]
    return x @ beta


def effects_ahead(row: Mapping[str, Any], spec: Mapping[str, Any], beta: Floats, periods: int) -> Floats:
    """Log effects of the coming periods without the price: fields and rivals as they are now, the days to go running."""
    now = row["now"]
    fields = {name: [value] * periods for name, value in now["fields"].items()}
    if attributes.LEAD_TIME in fields:
        start = now["fields"][attributes.LEAD_TIME]
        step = row["period_days"]
        fields[attributes.LEAD_TIME] = [max(0.0, start - step * (ahead + 1)) for ahead in range(periods)]
    rivals = {name: [value] * periods for name, value in now["rivals"].items()}
    x = _row_matrix(fields, rivals, row["group"], spec, periods)
    first = day_number(date.fromisoformat(row["last_day"])) + 1
    x += calendar(spec, first + np.arange(periods, dtype=np.int64) * row["period_days"], np.zeros(periods))
    return x @ beta


def _row_matrix(
    fields: Mapping[str, Sequence[float | None]], rivals: Mapping[str, Sequence[float]], group: str,
    spec: Mapping[str, Any], length: int,
) -> Floats:  # fmt: skip
    x = np.zeros((length, len(spec["columns"])))
    place = {name: number for number, name in enumerate(spec["columns"])}
    for facts in spec["fields"]:
        values = np.array(fields.get(facts["name"], [None] * length), dtype=np.float64)
        x[:, place[f"field:{facts['name']}"]] = attributes.encode(facts, values)
    if "rivals" in place:
        width = sum(name.startswith("rival:") for name in spec["columns"])
        prices = {name: np.array(values, dtype=np.float64) for name, values in rivals.items()}
        first = place["rivals"]
        x[:, first : first + 1 + width] = rival_columns(prices, spec["rivals"].get(group, ()), width, length)
    return x
