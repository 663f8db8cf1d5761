-- Write-back: which connections put insights into their platform's own records, and what was written where.
create table integrator.write_back (
  partner text not null,
  connection_id text not null,
  status text not null check (status in ('off', 'on', 'failed')),
  status_reason text,
  withdrawn text not null check (withdrawn in ('clear', 'mark')),
  planned_at timestamptz,
  plan jsonb,
  checked_seq bigint not null default 0,
  attempts integer not null default 0,
  next_attempt_at timestamptz not null,
  failing_since timestamptz,
  last_error text,
  last_written_at timestamptz,
  primary key (partner, connection_id),
  foreign key (partner, connection_id) references integrator.connection on delete cascade
);
comment on table integrator.write_back is 'Off until a dry run was seen: planned_at is when, plan what it said.';
comment on column integrator.write_back.checked_seq is 'The published_seq up to which everything due was tried.';

create table integrator.written_back (
  partner text not null,
  connection_id text not null,
  insight_id text not null,
  native_id text not null,
  insight_version integer not null,
  status text not null check (status in ('written', 'failed')),
  reason text,
  at timestamptz not null,
  primary key (partner, connection_id, insight_id, native_id),
  foreign key (partner, connection_id) references integrator.connection on delete cascade
);
comment on table integrator.written_back is 'The version each of a platform''s records was last given, or refused; only a newer one is tried.';

select integrator.protect('integrator.write_back');
select integrator.protect('integrator.written_back');
grant select, insert, update, delete on integrator.write_back, integrator.written_back
  to integrator_service, integrator_batch;
