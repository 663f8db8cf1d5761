"""A host's own database: the partner gives an address, a table and its columns; insights are upserted there."""
