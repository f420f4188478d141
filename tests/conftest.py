"""Makes the modules of this folder importable from every test: `scratch_repository`, `scratch_fleet`."""

from hypothesis import settings

# A busy machine is no defect of what is tested.
settings.register_profile("muster", deadline=None)
settings.load_profile("muster")
