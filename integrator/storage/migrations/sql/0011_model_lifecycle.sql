-- Models beside the champion: what a challenger would have said, and inferences counted apart with their latency.
create table ops.shadow_scoring (
  partner text not null, use_case text not null, model_name text not null, model_version text not null,
  champion_name text not null, champion_version text not null,
  run_id text not null, at timestamptz not null, as_of timestamptz not null, input_position bigint not null,
  row_count bigint not null, failure_count bigint not null, reason text, agreement jsonb not null default '{}',
  primary key (partner, use_case, model_name, model_version, run_id)
);
create index shadow_scoring_newest on ops.shadow_scoring (partner, use_case, at desc);
comment on table ops.shadow_scoring is 'Every time a challenger scored beside the champion: how much, and how far both agreed.';
comment on column ops.shadow_scoring.reason is 'Why the challenger, or rows of it, failed; null when nothing did.';
comment on column ops.shadow_scoring.agreement is 'Rows that both answered, and how far apart: see models/shadow.py.';

create table ops.shadow_prediction (
  partner text not null, insight_id text not null, model_name text not null, model_version text not null,
  as_of timestamptz not null, use_case text not null,
  subject_kind text not null, subject_id text not null, platform text not null,
  outcome text not null check (outcome in ('success', 'fallback', 'refusal')), rung text not null,
  value numeric, low numeric, high numeric, level numeric,
  input_position bigint not null, at timestamptz not null, run_id text not null, prediction jsonb not null,
  primary key (partner, insight_id, model_name, model_version, as_of)
);
create index shadow_prediction_version on ops.shadow_prediction (partner, use_case, model_name, model_version, at);
comment on table ops.shadow_prediction is 'What a challenger would have said of a subject, as of a moment; never published. A row stands until the next of the same version.';
comment on column ops.shadow_prediction.insight_id is 'The insight the champion published of the same subject.';
comment on column ops.shadow_prediction.prediction is 'As in ops.prediction_log: the details hold a series'' horizon.';

alter table ops.inference_log
  add column is_shadow boolean not null default false,
  add column latency_p95_ms double precision,
  add column latency_max_ms double precision;
create index inference_log_model on ops.inference_log (partner, use_case, at desc);
comment on column ops.inference_log.is_shadow is 'Made by a challenger beside the champion: counted, never published.';
comment on column ops.inference_log.latency_ms is 'Mean time of one inference, its feature row included.';
comment on column ops.inference_log.latency_p95_ms is 'What 95 of 100 inferences did not exceed: rows are predicted in batches, a row''s time is its batch''s mean.';

select integrator.protect(t) from unnest(array['ops.shadow_scoring', 'ops.shadow_prediction']::regclass[]) t;
grant select, insert, update, delete on ops.shadow_scoring, ops.shadow_prediction
  to integrator_service, integrator_batch;
