-- What each night found about a partner's data: one row an expectation, whether it was met or not.
create table metrics.quality (
  quality_id bigint generated always as identity,
  partner text not null,
  run_id text not null,
  kind text not null check (kind in ('event', 'contact', 'sale')),
  platform text not null,
  expectation text not null,
  dimension text not null,
  severity text not null check (severity in ('error', 'warning')),
  passed boolean,
  count bigint not null,
  ids text[] not null default '{}',
  observed text not null,
  mend text,
  at timestamptz not null,
  primary key (partner, kind, platform, expectation, run_id)
);
create index quality_newest on metrics.quality (partner, kind, at desc);
comment on table metrics.quality is 'Expectations held against a partner''s records of one kind and platform, by run.';
comment on column metrics.quality.passed is 'Null: not judged, and `observed` says what is still missing.';
comment on column metrics.quality.ids is 'Native ids of the first records at fault; never another value of theirs.';

select integrator.protect('metrics.quality');
grant select, insert, update, delete on metrics.quality to integrator_service, integrator_batch;
grant usage on all sequences in schema metrics to integrator_service, integrator_batch;
grant select on metrics.quality to integrator_analyst;
