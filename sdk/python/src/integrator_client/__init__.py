"""Send events, contacts and sales to the Integrator, and read its insights: `Client`, or `AsyncClient` with asyncio."""

from integrator_client.aio import AsyncClient
from integrator_client.client import Client
from integrator_client.errors import AuthenticationError, IntegratorError, Problem, Unreachable, UnsendableRecord
from integrator_client.report import Progress, Rejected, Report

__all__ = [
    "AsyncClient",
    "AuthenticationError",
    "Client",
    "IntegratorError",
    "Problem",
    "Progress",
    "Rejected",
    "Report",
    "Unreachable",
    "UnsendableRecord",
]
