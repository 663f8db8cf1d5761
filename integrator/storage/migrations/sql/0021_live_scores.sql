-- What was scored on request and never published, kept so that it can be explained; the language a partner is told in.
alter table integrator.partner add column language text not null default 'en';
comment on column integrator.partner.language is 'Of the sentences in its insights: a code such as en or de.';

create table ops.live_score (
  partner text not null, score_id text not null, use_case text not null,
  subject_kind text, subject_id text, platform text,
  outcome text not null check (outcome in ('success', 'fallback', 'refusal')),
  rung text not null, model_name text not null, model_version text not null,
  input_position bigint not null, as_of timestamptz not null, at timestamptz not null,
  prediction jsonb not null, feature_row jsonb not null, document text not null,
  primary key (partner, score_id)
);
create index live_score_at on ops.live_score (partner, use_case, at);
comment on table ops.live_score is 'Every answer of the live scoring API that holds a prediction: the siblings of ops.prediction_log that no channel carries.';
comment on column ops.live_score.subject_id is 'Null where the caller named nobody.';
comment on column ops.live_score.feature_row is 'What the model was given: the subject''s row with the caller''s assumptions laid over it.';
comment on column ops.live_score.input_position is 'Of the row underneath; 0 where there was none.';

-- A subject's row of the last scoring, for what is asked about it beside the night.
create index scored_subject on ops.scored (partner, use_case, (prediction #>> '{subject,id}'));

select integrator.protect('ops.live_score');
grant select, insert, update, delete on ops.live_score to integrator_service, integrator_batch;
