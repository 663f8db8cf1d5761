"""Tables, migrations, repositories (all SQL of the library), landing, vault and cache."""
