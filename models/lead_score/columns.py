"""The columns of `features.lead_score` that a prediction reads, by what they hold. Names only; nothing is read here."""

NUMBERS = ("age_days", "created_weekday", "created_hour", "purchases", "spent")
TEXTS = ("stage", "source", "country")
BUILT_IN = NUMBERS + TEXTS
COLUMNS = ("platform", "contact_id", "as_of", "created_at", "horizon_days", *BUILT_IN, "attributes")
