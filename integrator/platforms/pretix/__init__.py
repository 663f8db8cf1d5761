"""pretix ticketing: events and event series, orders, check-ins."""
