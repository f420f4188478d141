"""Makes the modules of this folder importable from every test: `scratch_repository`, `scratch_fleet`."""
