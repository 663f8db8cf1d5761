"""The demo: three partners, real public data, one night, printed and verified."""

from integrator.cli.demo.story import run

__all__ = ["run"]
