-- Pooled models: whose rows each version learned from, and whether it serves a partner that has no model of its own.
create table ops.pooled_contribution (
  partner text not null,
  use_case text not null,
  model_version text not null,
  row_count bigint not null,
  at timestamptz not null,
  primary key (partner, use_case, model_version)
);
comment on table ops.pooled_contribution is 'Whose rows a pooled version learned from: what consent withdrawn later is checked against. A partner sees its own line alone.';

create table ops.pooled_standing (
  partner text not null,
  use_case text not null,
  model_version text not null,
  is_served boolean not null,
  reason text not null check (reason in ('better', 'not_judged', 'not_better', 'failed')),
  observations bigint not null,
  metric text not null,
  pooled_value double precision,
  rule_value double precision,
  at timestamptz not null,
  primary key (partner, use_case)
);
comment on table ops.pooled_standing is 'The newest pooled version against a partner''s own naive rule, on that partner''s own rows.';
comment on column ops.pooled_standing.reason is 'not_judged: too few rows of its own to judge by, so the pooled gate''s word stands. failed: judging broke, so the rule stays.';

select integrator.protect(t) from unnest(array['ops.pooled_contribution', 'ops.pooled_standing']::regclass[]) t;
grant select, insert, update, delete on ops.pooled_contribution, ops.pooled_standing to integrator_service, integrator_batch;
