"""One module per group of routes; each gives an `APIRouter` for a gateway."""
