"""Attendance: how many people come to an event, and to the next days of a series."""
