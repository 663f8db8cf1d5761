-- What was recommended for a price, what bound it, and what price was taken afterwards: one row a published version.
create table metrics.price_decision (
  partner text not null, insight_id text not null, insight_version integer not null,
  subject_kind text not null, subject_id text not null, platform text not null,
  model_name text not null, model_version text not null, confidence text not null,
  recommended_at timestamptz not null, expires_at timestamptz not null,
  currency text not null,
  current_price numeric not null, recommended_price numeric not null, low numeric, high numeric,
  floor numeric not null, ceiling numeric not null, bound text,
  aim text not null check (aim in ('profit', 'revenue')),
  expected_quantity numeric, expected_revenue numeric, expected_profit numeric,
  taken_price numeric, taken_from timestamptz, taken_to timestamptz, taken_quantity double precision,
  taken_source text check (taken_source in ('api', 'platform')),
  followed text check (followed in ('followed', 'kept', 'other')),
  primary key (partner, insight_id, insight_version)
);
create index price_decision_open on metrics.price_decision (partner, recommended_at) where taken_price is null;
create index price_decision_subject on metrics.price_decision (partner, subject_id, recommended_at);
comment on table metrics.price_decision is
  'The audit trail of prices: each recommendation as it was published, and the price that was taken afterwards.';
comment on column metrics.price_decision.bound is
  'What held the price back most: floor, cost_floor, ceiling, max_change or capacity; null where nothing did.';
comment on column metrics.price_decision.aim is 'What the price was chosen by: profit, or revenue where no cost is known.';
comment on column metrics.price_decision.taken_price is
  'The price of the first period that began after the recommendation and before it expired; null until one was seen.';
comment on column metrics.price_decision.followed is
  'followed: the recommended price was taken. kept: the price stayed as it was. other: a third one. To half a per cent.';

select integrator.protect('metrics.price_decision');
grant select, insert, update, delete on metrics.price_decision to integrator_service, integrator_batch;
grant select on metrics.price_decision to integrator_analyst;
