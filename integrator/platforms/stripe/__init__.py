"""Stripe payments: charges as sales, customers as contacts."""
