"""A REST platform that has no folder: described in a YAML file, read by the code here."""
