"""Lead score: the calibrated probability that a contact converts within a horizon of days."""
