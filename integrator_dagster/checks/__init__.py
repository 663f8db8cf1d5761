"""Asset checks: what is measured, and who is left out when it fails."""
