"""One protocol a file: the file's name, with `-` for `_`, is the `type` in the TOML."""
