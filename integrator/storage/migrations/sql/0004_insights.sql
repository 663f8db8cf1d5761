-- The published insights: the tables behind, and the views a partner's own role reads.
create sequence insights.published_seq;

create table insights.version (
  partner text not null, insight_id text not null, insight_version integer not null,
  use_case text not null, subject_kind text not null, subject_id text not null, platform text not null,
  status text not null, value numeric, unit text not null, low numeric, high numeric, level numeric,
  confidence text not null, rung text not null, model_name text not null, model_version text not null,
  generated_at timestamptz not null, checked_at timestamptz not null, stale_after timestamptz not null,
  published_seq bigint not null, summary text not null, details jsonb not null, document text not null,
  input_position bigint not null, run_id text not null,
  primary key (partner, insight_id, insight_version)
);
create unique index version_seq on insights.version (partner, published_seq);

create table insights.current (like insights.version including comments, primary key (partner, insight_id));
create index current_subject on insights.current (partner, use_case, subject_id);
create index current_seq on insights.current (partner, use_case, published_seq);

create table insights.publication_log (
  partner text not null, run_id text not null, use_case text not null, completed_at timestamptz not null,
  rows bigint not null, changed bigint not null,
  primary key (partner, run_id, use_case)
);

select integrator.protect('insights.version');
select integrator.protect('insights.current');
select integrator.protect('insights.publication_log');
grant select, insert, update, delete on insights.version, insights.current, insights.publication_log
  to integrator_service, integrator_batch;
grant usage on sequence insights.published_seq to integrator_service, integrator_batch;

create view insights.attendance with (security_invoker = true) as
  select partner, subject_kind, subject_id, platform, status, value, unit, low, high, level, confidence, rung,
    model_version, insight_version, generated_at, checked_at, stale_after, published_seq, summary, document,
    (details ->> 'p10')::numeric as p10, (details ->> 'p50')::numeric as p50, (details ->> 'p90')::numeric as p90,
    (details ->> 'capacity')::integer as capacity, (details ->> 'sell_out_at')::timestamptz as sell_out_at,
    details ->> 'family' as family, details -> 'alternatives' as alternatives, details -> 'horizon' as horizon,
    insight_id
  from insights.current where use_case = 'attendance';

create view insights.pricing with (security_invoker = true) as
  select partner, subject_kind, subject_id, platform, status, value, unit, low, high, level, confidence, rung,
    model_version, insight_version, generated_at, checked_at, stale_after, published_seq, summary, document,
    (details ->> 'current_price')::numeric as current_price, (details ->> 'floor')::numeric as floor,
    (details ->> 'ceiling')::numeric as ceiling, (details ->> 'expected_quantity')::numeric as expected_quantity,
    (details ->> 'expected_revenue')::numeric as expected_revenue,
    (details ->> 'expected_profit')::numeric as expected_profit, (details ->> 'elasticity')::numeric as elasticity,
    details -> 'demand_curve' as demand_curve, details ->> 'disclosure' as disclosure,
    (details ->> 'expires_at')::timestamptz as expires_at, insight_id
  from insights.current where use_case = 'pricing';

create view insights.lead_score with (security_invoker = true) as
  select partner, subject_kind, subject_id, platform, status, value, unit, low, high, level, confidence, rung,
    model_version, insight_version, generated_at, checked_at, stale_after, published_seq, summary, document,
    (details ->> 'score')::integer as score, details ->> 'grade' as grade, (details ->> 'rank')::integer as rank,
    details ->> 'trend' as trend, (details ->> 'horizon_days')::integer as horizon_days,
    details -> 'what_would_change_it' as what_would_change_it, insight_id
  from insights.current where use_case = 'lead_score';

create view insights.history with (security_invoker = true) as
  select partner, use_case, subject_kind, subject_id, platform, status, value, unit, low, high, level, confidence,
    rung, model_version, insight_version, generated_at, checked_at, stale_after, published_seq, summary, document,
    details, insight_id
  from insights.version;

create view insights.publication with (security_invoker = true) as
  select partner, run_id, use_case, completed_at, rows, changed from insights.publication_log;

do $$
declare view_name text; col record;
begin
  foreach view_name in array array['attendance', 'pricing', 'lead_score', 'history'] loop
    for col in select * from (values
      ('value', 'the insight: null when refused or withdrawn'), ('unit', 'people, an ISO 4217 code, or probability'),
      ('low', 'lower end of the interval, in unit'), ('high', 'upper end of the interval, in unit'),
      ('level', 'probability with which the interval holds the truth'),
      ('confidence', 'high, medium or low'), ('rung', 'rule, pooled or partner: how it was made'),
      ('status', 'ready, fallback, refused or withdrawn'),
      ('insight_version', 'grows when value, interval, label, rung, model, status or explanation change'),
      ('checked_at', 'when it was last confirmed'), ('stale_after', 'after this moment treat it as stale'),
      ('published_seq', 'grows with every publication to this partner: read what is above the last one seen'),
      ('document', 'the whole insight as canonical JSON, the same bytes as in every channel')) c(name, text) loop
      execute format('comment on column insights.%I.%I is %L', view_name, col.name, col.text);
    end loop;
  end loop;
end $$;

grant select on insights.attendance, insights.pricing, insights.lead_score, insights.history, insights.publication,
  insights.version, insights.current, insights.publication_log
  to integrator_partner, integrator_analyst, integrator_service, integrator_batch;
