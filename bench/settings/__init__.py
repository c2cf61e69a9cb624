"""Settings of a run: schema, sources (TOML, command line, presets) and errors."""
