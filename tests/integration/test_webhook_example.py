"""The guide's receiver in Python, verified with the official `standardwebhooks` package, run against us."""

import sys

from integrator.embedded.endpoints import free_port
from integrator.steps.services import Services
from tests.webhook_story import tell


def test_the_python_receiver_of_the_guide(services: Services) -> None:
    tell(services, [sys.executable, "receiver.py"], free_port())
