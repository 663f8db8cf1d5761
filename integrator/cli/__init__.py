"""The `integrator` command. Data on stdout, logs on stderr; 0 fine, 1 permanent failure, 2 usage, 75 transient."""
