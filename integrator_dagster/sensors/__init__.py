"""What is looked for between the nights."""
