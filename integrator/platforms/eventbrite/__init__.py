"""Eventbrite ticketing: events with attendance, tickets as sales, buyers."""
