-- Facts that belong to no tenant, and the tables by which the product is run and judged.
create table reference.fx_rate (
  currency text not null,
  rate_date date not null,
  per_eur numeric not null,
  primary key (currency, rate_date)
);
comment on table reference.fx_rate is 'European Central Bank reference rates: units of currency for one euro on rate_date.';

create table reference.holiday (
  region text not null,
  holiday_date date not null,
  name text not null,
  primary key (region, holiday_date)
);
comment on table reference.holiday is 'Public holidays per ISO 3166 country or 3166-2 region.';
grant select on all tables in schema reference to integrator_service, integrator_batch, integrator_analyst;
grant usage on schema reference to integrator_analyst;
grant insert, update, delete on all tables in schema reference to integrator_batch;

create table ops.step_runs (
  step_run_id bigint generated always as identity primary key,
  partner text not null,
  step text not null,
  use_case text not null default '',
  run_id text not null,
  status text not null check (status in ('success', 'failed', 'excluded', 'skipped')),
  reason text,
  is_transient boolean not null default false,
  row_count bigint not null default 0,
  started_at timestamptz not null,
  finished_at timestamptz not null
);
create index step_runs_partner on ops.step_runs (partner, step, step_run_id desc);
create index step_runs_run on ops.step_runs (run_id);

-- Rows commit out of order, so a reader takes what is at or above its position and below the oldest
-- transaction still running, and stores that bound as its next position.
create table ops.touched_log (
  partner text not null, platform text not null, kind text not null, native_id text not null,
  reason text not null, txid xid8 not null default pg_current_xact_id(), at timestamptz not null
);
create index touched_log_txid on ops.touched_log (txid);
comment on table ops.touched_log is 'Keys changed by anything but landing: erasure, consent, identity merges, late rates.';

create view ops.touched with (security_invoker = true) as
  select partner, platform, 'event' as kind, native_id, txid from landing.event
  union all select partner, platform, 'contact', native_id, txid from landing.contact
  union all select partner, platform, 'sale', native_id, txid from landing.sale
  union all select partner, platform, kind, native_id, txid from ops.touched_log;
comment on view ops.touched is 'What changed: one relation for every consumer, by transaction id.';

create table ops.reader_position (
  reader text primary key,
  position xid8 not null,
  fingerprint text not null,
  moved_at timestamptz not null
);
comment on table ops.reader_position is 'Up to which transaction a reader of ops.touched has come, and under which version of its SQL.';

create table ops.scoring (
  partner text not null, use_case text not null,
  run_id text not null, scored_at timestamptz not null, input_position bigint not null, as_of timestamptz not null,
  model_name text not null, model_version text not null,
  row_count integer not null, failure_count integer not null,
  primary key (partner, use_case)
);
comment on table ops.scoring is 'The last scoring of a partner and use case: the model and the input behind the rows of ops.scored.';

create table ops.scored (
  partner text not null, use_case text not null, ordinal integer not null,
  prediction jsonb not null, feature_row jsonb not null,
  primary key (partner, use_case, ordinal)
);
comment on table ops.scored is 'What the last scoring found, waiting to be published; replaced whole.';

create table ops.prediction_log (
  partner text not null, insight_id text not null, insight_version integer not null,
  use_case text not null, subject_kind text not null, subject_id text not null, platform text not null,
  outcome text not null check (outcome in ('success', 'failure', 'fallback', 'refusal')),
  rung text not null, model_name text not null, model_version text not null,
  input_position bigint not null, as_of timestamptz not null, at timestamptz not null, run_id text not null,
  prediction jsonb not null, feature_row jsonb not null,
  primary key (partner, insight_id, insight_version)
);

create table ops.inference_log (
  partner text not null, use_case text not null, run_id text not null, at timestamptz not null,
  model_name text not null, model_version text not null,
  outcome text not null check (outcome in ('success', 'failure', 'fallback', 'refusal')),
  inference_count bigint not null, latency_ms double precision
);
comment on table ops.inference_log is 'Every inference counted apart per partner and model, published or not.';

create table ops.event_log (
  event_id bigint generated always as identity primary key,
  partner text not null, at timestamptz not null, kind text not null, data jsonb not null default '{}'
);
create index event_log_partner on ops.event_log (partner, event_id desc);

create table ops.request_log (
  request_id text primary key,
  partner text not null, client_id text not null, at timestamptz not null,
  method text not null, route text not null, status integer not null, latency_ms double precision not null
);
comment on table ops.request_log is 'Authenticated requests by client and route template; never the address, never a body.';

create table ops.outbox (
  outbox_id bigint generated always as identity primary key,
  message_id text not null unique,
  partner text not null, endpoint_id text not null, event_type text not null,
  insight_id text not null, insight_version integer not null, body text not null,
  created_at timestamptz not null, next_attempt_at timestamptz not null,
  attempts integer not null default 0,
  status text not null default 'pending' check (status in ('pending', 'delivered', 'failed')),
  foreign key (partner, endpoint_id) references integrator.webhook_endpoint on delete cascade
);
create index outbox_pending on ops.outbox (next_attempt_at) where status = 'pending';

create table ops.delivery_attempt (
  partner text not null, message_id text not null, attempt integer not null, at timestamptz not null,
  status_code integer, error text, duration_ms double precision not null,
  primary key (partner, message_id, attempt)
);

create table metrics.model_quality (
  partner text not null, use_case text not null, model_name text not null, model_version text not null,
  candidate text not null, metric text not null, value double precision not null, at timestamptz not null,
  primary key (partner, use_case, model_name, model_version, candidate, metric)
);
comment on table metrics.model_quality is 'Backtest figures of every candidate, naive rule included, per model version.';

create table metrics.readiness (
  partner text not null, use_case text not null, rung text not null, document jsonb not null, at timestamptz not null,
  primary key (partner, use_case)
);

select integrator.protect(t) from unnest(array['ops.step_runs', 'ops.touched_log', 'ops.scoring', 'ops.scored',
  'ops.prediction_log', 'ops.inference_log', 'ops.event_log', 'ops.request_log', 'ops.outbox', 'ops.delivery_attempt',
  'metrics.model_quality', 'metrics.readiness']::regclass[]) t;
grant select, insert, update, delete on all tables in schema ops, metrics to integrator_service, integrator_batch;
revoke insert, update, delete on ops.touched, ops.reader_position from integrator_service;
grant usage on all sequences in schema ops to integrator_service, integrator_batch;
grant select on all tables in schema metrics to integrator_analyst;
