-- What happened, which prediction it answers, how good predictions turned out, and whether the data moved away.
create table metrics.outcome (
  partner text not null, use_case text not null,
  subject_kind text not null, subject_id text not null, platform text not null,
  happened_at timestamptz not null,
  source text not null check (source in ('api', 'platform')),
  begins_at timestamptz not null,
  value double precision, price numeric, currency text,
  received_at timestamptz not null, joined_at timestamptz,
  primary key (partner, use_case, subject_id, subject_kind, platform, happened_at, source)
);
create index outcome_unjoined on metrics.outcome (partner, use_case) where joined_at is null;
comment on table metrics.outcome is 'What really happened to a subject, by who said so; the API beats a platform where both do.';
comment on column metrics.outcome.happened_at is
  'attendance: when it began. pricing: the end of the period. lead_score: the conversion, or until when there was none.';
comment on column metrics.outcome.begins_at is 'pricing: the beginning of the period; else the same as happened_at.';
comment on column metrics.outcome.value is
  'attendance: people. pricing: units sold in the period, null if only the price is known. lead_score: 1 converted, 0 not.';
comment on column metrics.outcome.price is 'pricing: the price taken, in currency.';
comment on column metrics.outcome.received_at is 'When this value became known; a changed value gets a new moment.';
comment on column metrics.outcome.joined_at is 'When it was held against the predictions it answers; null until then.';

create table metrics.decision (
  partner text not null, insight_id text not null, insight_version integer not null,
  use_case text not null, subject_kind text not null, subject_id text not null, platform text not null,
  decision text not null check (decision in ('accepted', 'rejected')),
  reason_code text, decided_at timestamptz not null, received_at timestamptz not null,
  primary key (partner, insight_id, insight_version)
);
comment on table metrics.decision is 'Whether a person took an insight''s advice, by version, with a code for the reason.';

create table metrics.realized (
  partner text not null, use_case text not null,
  subject_kind text not null, subject_id text not null, platform text not null,
  due_at timestamptz not null, lead_bucket text not null,
  role text not null check (role in ('champion', 'challenger')),
  model_name text not null, model_version text not null, rung text not null,
  insight_id text not null, insight_version integer,
  as_of timestamptz not null, predicted_at timestamptz not null, lead_days double precision not null,
  predicted double precision not null, low double precision, high double precision, level double precision,
  is_inside boolean,
  actual double precision not null, error double precision not null,
  naive double precision, naive_error double precision,
  outcome_source text not null, outcome_received_at timestamptz not null, at timestamptz not null,
  primary key (partner, use_case, subject_id, subject_kind, platform, due_at, lead_bucket, role, model_name, model_version)
);
create index realized_due on metrics.realized (partner, use_case, due_at);
comment on table metrics.realized is
  'One row an answered prediction. Champion: what was published, whatever made it. Challenger: what its shadow said.';
comment on column metrics.realized.due_at is
  'From when it can be judged without favour: the event''s beginning, the period''s end, the end of the lead''s horizon.';
comment on column metrics.realized.lead_bucket is
  'Which of several predictions: attendance: standing so many days before (7d), or the last one; else `first` or `last`.';
comment on column metrics.realized.error is 'predicted - actual, in the unit of the use case; pricing: units sold at the price taken.';
comment on column metrics.realized.naive is 'What the naive rule said from the same feature row.';
comment on column metrics.realized.insight_version is 'Null for a challenger: what it says is not published.';

create table metrics.realized_quality (
  partner text not null, use_case text not null, subject_kind text not null,
  role text not null check (role in ('champion', 'challenger')),
  model_name text not null, model_version text not null, lead_bucket text not null, window_days integer not null,
  prediction_count integer not null, outcome_count integer not null, pending_count integer not null,
  mae double precision, naive_mae double precision, mae_ratio double precision, bias double precision,
  coverage double precision, level double precision, interval_count integer not null,
  brier double precision, log_loss double precision, naive_log_loss double precision,
  calibration_error double precision, auc double precision, lift double precision,
  reliability jsonb not null default '[]',
  from_at timestamptz, to_at timestamptz, at timestamptz not null,
  primary key (partner, use_case, subject_kind, role, model_name, model_version, lead_bucket, window_days)
);
comment on table metrics.realized_quality is
  'Realized quality by model version and window of days; replaced by each night. `all` as name and version: whatever was served.';
comment on column metrics.realized_quality.lead_bucket is 'As in metrics.realized; `all`: every bucket together.';
comment on column metrics.realized_quality.pending_count is 'Predictions that are answered and not yet due.';
comment on column metrics.realized_quality.mae_ratio is 'mae over naive_mae: below 1 is better than the naive rule.';
comment on column metrics.realized_quality.lift is
  'What is gained over the naive rule: 1 - loss / naive loss; absolute error, for lead_score log-loss.';
comment on column metrics.realized_quality.reliability is 'Bins of equal size: count, mean predicted, mean actual.';

create table metrics.drift (
  partner text not null, use_case text not null, feature text not null, at timestamptz not null,
  about text not null check (about in ('feature', 'prediction')),
  statistic text not null, value double precision, p_value double precision, threshold double precision not null,
  drifted boolean, n_reference bigint not null, n_current bigint not null, reason text,
  primary key (partner, use_case, feature, about, at)
);
comment on table metrics.drift is 'Feature rows and predictions now against those of the training; kept for 90 days.';
comment on column metrics.drift.drifted is 'Null: not judged, and `reason` says what is missing.';

create table metrics.model_check (
  partner text not null, use_case text not null, name text not null,
  passed boolean, observed text not null, n bigint not null, needed bigint not null, at timestamptz not null,
  primary key (partner, use_case, name)
);
comment on table metrics.model_check is 'The newest verdict on what is served: accuracy, coverage, calibration, drift.';
comment on column metrics.model_check.passed is 'Null: not judged, n of needed are there.';

create index prediction_log_subject on ops.prediction_log (partner, use_case, subject_id, at);

select integrator.protect(t) from unnest(array['metrics.outcome', 'metrics.decision', 'metrics.realized',
  'metrics.realized_quality', 'metrics.drift', 'metrics.model_check']::regclass[]) t;
grant select, insert, update, delete on metrics.outcome, metrics.decision, metrics.realized, metrics.realized_quality,
  metrics.drift, metrics.model_check to integrator_service, integrator_batch;
grant select on metrics.outcome, metrics.decision, metrics.realized, metrics.realized_quality, metrics.drift,
  metrics.model_check to integrator_analyst;
