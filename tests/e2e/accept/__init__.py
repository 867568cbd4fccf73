"""The acceptance programme: one program for each figure, started by `cargo xtask accept` (docs/RELIABILITY.md lists them)."""
