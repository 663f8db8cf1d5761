"""Every sentence and label of attendance insights, in English. Another language is another file with the same keys."""

FACTORS = {
    "same_weekday": "Same weekday in recent weeks",
    "recent_level": "Recent attendance level",
    "season": "Time of year",
    "holiday": "Holiday",
    "lead_time": "How far ahead it is",
    "attributes": "Details of the event",
    "interval_shift": "Correction: past forecasts ran low or high",
    "capacity_cap": "Capacity limit",
    "other": "Other",
}

DRIVERS = {
    "same_weekday": "the latest {days}",
    "recent_level": "the recent level",
    "season": "the time of year",
    "holiday": "the holiday",
    "lead_time": "how far ahead it is",
    "attributes": "details of the event",
    "interval_shift": "a correction learned from past forecasts",
    "capacity_cap": "the capacity limit",
}

WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")

MESSAGES = {
    "expected": "Expected attendance {value}, {comparison}{driver}.",
    "above": "{percent} % above similar {days}",
    "below": "{percent} % below similar {days}",
    "level": "in line with similar {days}",
    "unlike": "where similar {days} had none",
    "driver": ", driven by {driver}",
    "days": "days",
    "rule": "Expected attendance {value}, as on the last known {weekday}: {observations} known {days} not enough for "
    "a model, {needed} would be.",
    "rule_silent": "Expected attendance {value}, as on the last known {weekday}: nothing is known of the last {days} "
    "days. Attendance up to now would bring the model back.",
    "rule_better": "Expected attendance {value}, as on the last known {weekday}: here that was closer than the model in "
    "every past test. The model takes over once it forecasts better.",
    "rule_new": "Expected attendance {value}, as on the last known {weekday}: this series is not in the model yet. "
    "The next retraining brings it in.",
    "rule_only": "Expected attendance {value}, as on the last known {weekday}: no model beats that yet. It is tested "
    "again with every retraining.",
    "over": " Its stated capacity of {capacity} was exceeded often and is not taken as a limit.",
    "next": "Next on {date}: {sentence}",
    "day_is": "day is",
    "days_are": "days are",
    "day": "day",
    "no_history": "No forecast: no past attendance is known for this event's series or venue. "
    "One past event with its attendance gives a first estimate.",
    "ended": "No forecast: the last known attendance is {days} days old. More recent attendance would give one.",
    "no_occurrence": "No forecast: no event of this series is scheduled within {days} days. Scheduling one gives one.",
}
