"""HubSpot CRM: contacts with the history of their properties."""
