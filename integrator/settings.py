"""One typed Settings, read from the environment at the edge and passed down.

Nothing else reads the environment. Every field is documented here, and `docs/settings.md` is generated from it.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from integrator.contracts.errors import allowed_by, invalid

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
    retrain_outcome_share: float = Field(
        0.2, gt=0, description="New outcomes that call for retraining, as a share of those last trained on."
    )
    retrain_least_outcomes: int = Field(
        50, ge=1, description="New outcomes below which none of them calls for retraining."
    )
    retrain_rest_days: float = Field(
        7.0,
        ge=0,
        description="How long neither feedback nor the night asks for a retraining after a partner's last of the use case.",
    )
    schedule_timezone: str = Field("UTC", description="The zone both cron lines are read in.")
    lead_horizon_days: int = Field(
        90,
        ge=1,
        le=730,
        description="Within how many days a lead's conversion counts, and how far back a lead is fresh. "
        "A changed one trains anew in the next night.",
    )
    sensors_on: bool = Field(
        False, description="Whether sensors and schedules start switched on; `integrator up` sets it."
    )
    allow_loopback_webhooks: bool = Field(
        False,
        description="Lets webhooks and host databases be on loopback, without TLS, for the sandbox. Never on in production.",
    )
    webhook_endpoints_at_once: int = Field(
        8,
        ge=1,
        le=64,
        description="How many webhook endpoints one process sends to at once; as many again that are failing or slow.",
    )
    webhook_keep_days: float = Field(
        30.0, gt=0, description="How many days sent webhooks and the log of attempts are kept, and can be sent again."
    )
    allow_private_platforms: bool = Field(
        False,
        description="Lets platforms lie in our own network, over plain HTTP too: the sandbox, a pretix beside us.",
    )
    allow_private_host_databases: bool = Field(
        False,
        description="Lets host databases lie on loopback or in our own network, without TLS too. Never on where partners "
        "are strangers.",
    )
    host_database_folder: Path | None = Field(
        None,
        description="Below it SQLite files may be host databases, each partner's in a folder of its name; none unless set.",
    )
    http_timeout_seconds: float = Field(30.0, gt=0, description="How long one request to a platform may take.")
    backfill_seconds: float = Field(
        60.0, ge=0, description="How long backfills of one connection may go on after each of its pulls."
    )
    backfill_pages: int = Field(
        50, ge=0, description="How many pages backfills of one connection may land after a pull."
    )
    sync_seconds: float = Field(
        25.0,
        gt=0,
        description="After how many seconds a sync asked for over HTTP answers, and says whether it is complete.",
    )
    pooling_least_partners: int = Field(
        3, ge=3, description="From how many consenting partners a pooled model may be trained; never fewer than three."
    )
    pooling_largest_share: float = Field(
        0.5, gt=0, lt=1, description="The largest share of a pooled model's training weight that one partner may have."
    )
    http_retries: int = Field(4, ge=0, le=10, description="How often a transient answer of a platform is tried again.")
    token_minutes: int = Field(10, ge=1, le=60, description="How long an access token lives.")
    shadow_days: int = Field(
        180, ge=1, description="How many days what a challenger said in the champion's shadow is kept."
    )
    ingest_rate: float = Field(
        1000.0, gt=0, description="Requests a second of one client to the ways in: records, feedback."
    )
    score_rate: float = Field(1000.0, gt=0, description="Requests a second of one client for live scores.")
    read_rate: float = Field(10000.0, gt=0, description="Requests a second of one client for everything else.")
    partner_rate_factor: float = Field(
        2.0, ge=1, description="How many times its clients' rate a partner has, all of its clients together."
    )
    rate_burst_seconds: float = Field(
        2.0, gt=0, le=3600, description="How many seconds' worth of requests may come at once."
    )
    failed_logins_per_minute: int = Field(
        30, ge=1, description="How often a minute one client id may fail at `/oauth/token`, from one address."
    )
    tls_cert: Path | None = Field(None, description="PEM file: the realtime API then speaks TLS with this certificate.")
    tls_key: Path | None = Field(None, description="PEM file: the key of `INTEGRATOR_TLS_CERT`.")
    tls_client_ca: Path | None = Field(
        None, description="PEM file: who signs client certificates; one registered with a client proves it (mTLS)."
    )
    trusted_proxies: str = Field(
        "", description="Networks, with commas between, whose header with a client certificate is believed."
    )
    client_certificate_header: str = Field(
        "Client-Cert", description="The header of a trusted proxy that holds it: RFC 9440, or PEM percent-encoded."
    )
    realtime_host: str = Field("127.0.0.1", description="The address that the realtime API listens at.")
    live_streams: int = Field(
        1000, ge=1, description="How many event streams of one partner one process of the realtime API holds open."
    )
    live_heartbeat_seconds: float = Field(
        15.0, gt=0, le=60, description="After how long a silence an event stream says that it is still there."
    )
    live_stall_seconds: float = Field(
        10.0, gt=0, description="How long the reader of an event stream may take nothing before it is dropped."
    )
    push_most_records: int = Field(10_000, ge=1, description="How many records one pushed body may hold.")
    push_body_mebibytes: float = Field(
        16.0, gt=0, le=256, description="How large a pushed body may be, as sent and once inflated."
    )
    push_body_seconds: float = Field(120.0, gt=0, description="How long a pushed body may take to arrive.")
    push_bytes_per_second: float = Field(
        2048.0, gt=0, description="How fast a pushed body must arrive, after its first five seconds."
    )
    push_threads: int = Field(
        4, ge=1, le=8, description="How many pushes land at once in one process; a partner has half of them."
    )
    push_workers: int = Field(
        1, ge=0, le=8, description="Processes that land large pushed bodies beside the service; 0: the service itself."
    )
    push_held_mebibytes: float = Field(
        256.0, gt=0, description="How much of pushed bodies one process holds at once; a partner has half of it."
    )
    score_threads: int = Field(4, ge=1, le=32, description="How many live scores are worked on at once in one process.")
    live_models: int = Field(
        32, ge=1, description="How many partners' models one process keeps loaded; the least lately asked goes first."
    )
    live_score_days: int = Field(180, ge=1, description="How many days live scores are kept, to be explained.")
    stream: Literal["push", "off"] | None = Field(
        None,
        description="`push`: what lands is scored and published at once, by a process beside the realtime API; `off`: "
        "by the night. Unset: `integrator up` pushes, a service started by itself does not.",
    )
    stream_backlog: int = Field(
        20_000, ge=1, description="How many records of a partner may wait to be scored at once; more are the night's."
    )
    drop_url: str | None = Field(
        None,
        description="Where files are dropped, a folder for each partner: `file:///folder` or `s3://bucket/prefix`.",
    )
    drop_options: SecretStr | None = Field(
        None, description="JSON: fsspec's options for `INTEGRATOR_DROP_URL`, such as endpoint and keys of the store."
    )
    drop_settle_seconds: float = Field(
        30.0, ge=0, description="How long a dropped file must not have changed before it is read."
    )
    kafka_bootstrap: str | None = Field(
        None, description="Kafka's first addresses, `host:port` with commas between; unset: no Kafka, in or out."
    )
    kafka_security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        "plaintext", description="How Kafka is spoken to; beyond your own network `ssl` or `sasl_ssl`."
    )
    kafka_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="How `INTEGRATOR_KAFKA_USER` logs in, with one of the `sasl` securities."
    )
    kafka_user: str | None = Field(None, description="Who logs in at Kafka.")
    kafka_password: SecretStr | None = Field(None, description="The password of `INTEGRATOR_KAFKA_USER`.")
    kafka_ca: Path | None = Field(
        None, description="PEM file: who signs the brokers' certificates, if not a public one."
    )
    kafka_cert: Path | None = Field(None, description="PEM file: our certificate, where the brokers want one.")
    kafka_key: Path | None = Field(None, description="PEM file: the key of `INTEGRATOR_KAFKA_CERT`.")
    kafka_group: str = Field("integrator", min_length=1, description="The consumer group of `integrator stream`.")
    kafka_records_topic: str = Field("integrator.records.v1", min_length=1, description="Where records come in.")
    kafka_dead_letter_topic: str = Field(
        "integrator.records.dlq.v1", min_length=1, description="Where records go that cannot be read."
    )
    kafka_insights_topic: str = Field("integrator.insights.v1", min_length=1, description="Where insights go out.")
    kafka_create_topics: bool = Field(
        True, description="Whether `integrator stream` makes the three topics if they are not there."
    )
    kafka_partners: str = Field(
        "", description="The partners whose records are taken from Kafka, with commas between; empty: all registered."
    )
    kafka_batch_records: int = Field(500, ge=1, le=10_000, description="How many records of a partner land at once.")
    kafka_record_kibibytes: int = Field(
        1024, ge=1, le=65_536, description="How large one record from Kafka may be; a larger one is a dead letter."
    )
    kafka_held_mebibytes: float = Field(
        64.0, gt=0, description="How much of what was read from Kafka waits to land before reading pauses."
    )
    kafka_metrics_port: int | None = Field(
        None, ge=1, le=65535, description="Loopback port of `integrator stream`'s `/metrics`; none unless set."
    )
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
        raise invalid(name, first.get("input"), allowed_by(first["msg"])) from error
