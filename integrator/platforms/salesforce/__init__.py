"""Salesforce: leads, converted ones too, with their field history; opportunities that were won, as sales."""
