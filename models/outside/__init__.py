"""Models made elsewhere that take part here: what they are asked, what they answer, and why they said so."""
