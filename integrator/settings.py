"""One typed Settings, read from the environment at the edge and passed down.

Nothing else reads the environment. Every field is documented here, and `docs/settings.md` is generated from it.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from integrator.contracts.errors import invalid

Clock = Callable[[], datetime]


class Settings(BaseSettings):
    """What an operator may set; each is `INTEGRATOR_` plus the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix="INTEGRATOR_", extra="ignore", frozen=True)

    home: Path = Field(Path(".integrator"), description="Embedded data, generated secrets and `endpoints.json`.")
    database_url: SecretStr | None = Field(
        None, description="A PostgreSQL address (its owner's login) to use in place of the embedded server."
    )
    redis_url: SecretStr | None = Field(None, description="A Redis address to use in place of the embedded server.")
    now: AwareDatetime | None = Field(
        None, description="RFC 3339: the clock every part uses; what lies after it is invisible."
    )
    master_key: SecretStr | None = Field(
        None, description="32 bytes in base64: wraps data keys and derives role passwords. Made under home if unset."
    )
    engine: Literal["local"] = Field("local", description="Where harmonization and training run.")
    night_cron: str = Field("0 2 * * *", description="When the nightly insights run, as a cron line.")
    retrain_cron: str = Field("0 4 * * 0", description="When every partner is retrained, as a cron line.")
    schedule_timezone: str = Field("UTC", description="The zone both cron lines are read in.")
    sensors_on: bool = Field(
        False, description="Whether sensors and schedules start switched on; `integrator up` sets it."
    )
    allow_loopback_webhooks: bool = Field(
        False, description="Lets webhooks go to loopback over plain HTTP, for the sandbox. Never on in production."
    )
    http_timeout_seconds: float = Field(30.0, gt=0, description="How long one request to a platform may take.")
    http_retries: int = Field(4, ge=0, le=10, description="How often a transient answer of a platform is tried again.")
    token_minutes: int = Field(10, ge=1, le=60, description="How long an access token lives.")
    dagster_port: int = Field(
        3000, ge=0, le=65535, description="Preferred port of Dagster's page; the next free one is taken."
    )
    mlflow_port: int = Field(
        5000, ge=0, le=65535, description="Preferred port of MLflow's page; the next free one is taken."
    )
    realtime_port: int = Field(
        8080, ge=0, le=65535, description="Preferred port of the realtime API; the next free one is taken."
    )
    sandbox_port: int = Field(
        8090, ge=0, le=65535, description="Preferred port of the sandbox; the next free one is taken."
    )

    @property
    def root(self) -> Path:
        """`home`, absolute."""
        return self.home.expanduser().absolute()

    def clock(self) -> Clock:
        """The clock every part is handed: fixed when `INTEGRATOR_NOW` is set."""
        fixed = self.now
        if fixed is None:
            return lambda: datetime.now(UTC)
        moment = fixed.astimezone(UTC)
        return lambda: moment


def load_settings() -> Settings:
    """Read the environment; `InvalidInput` names the variable, the value and what is allowed."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "INTEGRATOR_" + ".".join(str(part) for part in first["loc"]).upper()
        raise invalid(name, first.get("input"), first["msg"]) from error
