"""How to mend it: for each expectation that failed, what a partner can do, in plain words."""

from integrator.contracts.records import PLURALS

_WORDS = {
    "attendance_after_it_began": "An attendance is known before the event began. Leave `attendance` empty until it is counted, "
    "and check the time zone of `starts_at`.",
    "attendance_within_capacity": "More people came than fit. Correct `capacity` (people, not seats on sale) or `attendance`.",
    "on_sale_before_it_begins": "Sales begin after the event. Check that `on_sale_at` and `starts_at` are not exchanged.",
    "ends_within_a_year": "The event lasts more than a year. Check the year of `ends_at`; send a season as a series of events.",
    "created_before_it_arrived": "The contact was created in the future. Check day and month, and the offset of `created_at`.",
    "converted_before_it_arrived": "The contact converts in the future. `converted_at` is for what happened, "
    "not for what is expected.",
    "converted_or_lost": "The contact was won and lost. Clear `lost_at` when a deal is won, or `converted_at` when it is not.",
    "sold_before_it_arrived": "The sale lies in the future. Check day and month, and the offset of `sold_at`.",
    "price_near_its_product": "The price is more than fifty times higher or lower than what the product usually costs. Send the "
    "price of one unit, in the currency's main unit (12.50, not 1250), and give different products different names.",
    "event_is_there": "The sale names an event that never came. Send the event too, on the same platform name, or check that "
    "`event_id` is the event's `native_id`, letter by letter.",
    "contact_is_there": "The sale names a contact that never came. Send the contact too, on the same platform name, or check "
    "that `contact_id` is the contact's `native_id`.",
    "newest_record_in_time": "Nothing new came for longer than usual. See whether the connection is paused or failed "
    "(`integrator connections list`), or whether your export still runs. If the season is over, nothing is wrong.",
    "last_day_as_usual": "The last day brought far more or far fewer records than this day of the week usually does. See whether "
    "an export ran twice, a filter changed or a source is missing. If it was an unusual day, nothing is wrong.",
    "last_week_as_usual": "The last seven days brought far more or far fewer records than a week usually does. See whether an "
    "export ran twice, a filter changed or a source is missing. If it was an unusual week, nothing is wrong.",
    "none_in_quarantine": "Records wait in quarantine and count for nothing. `integrator quarantine list` names the field and "
    "the reason; send them again mended, or replay them.",
}
_ENDINGS = {
    "_present": "`{field}` is empty. Send it with every record of {kinds}.",
    "_known": "`{field}` holds a value that is not among those allowed. GET /v1/schemas/{kind} lists them.",
    "_in_range": "`{field}` is negative or beyond what is allowed. GET /v1/schemas/{kind} gives the range.",
    "_well_formed": "`{field}` is not written as it must be. GET /v1/schemas/{kind} gives the pattern.",
    "_of_fit_length": "`{field}` is empty text or too long. GET /v1/schemas/{kind} gives the length.",
    "_filled_as_usual": "`{field}` used to be filled and lately often is not. See whether a form, an export or a mapping "
    "lost it, and send the records again with it: a resend changes only what differs.",
}  # fmt: skip


def mend(kind: str, expectation: str) -> str:
    """What to do about a failed expectation on records of a kind."""
    if expectation in _WORDS:
        return _WORDS[expectation]
    for ending, words in _ENDINGS.items():
        if expectation.endswith(ending):
            return words.format(field=expectation.removesuffix(ending), kind=kind, kinds=PLURALS[kind])
    raise KeyError(expectation)
