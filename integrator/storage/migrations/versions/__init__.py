"""One module per revision, each applying one SQL file."""
