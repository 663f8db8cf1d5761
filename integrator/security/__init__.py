"""Who may call: clients and their secrets, signing keys, access tokens, scopes."""
