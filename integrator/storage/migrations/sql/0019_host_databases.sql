-- Host databases: where a partner's insights are upserted into a table of its own, and how far that has come.
create table integrator.host_database (
  partner text not null references integrator.partner,
  name text not null,
  address bytea not null,
  key_id text not null,
  shown_address text not null,
  tls text not null check (tls in ('verify', 'require', 'off')),
  layout jsonb not null,
  revision integer not null default 1,
  status text not null check (status in ('active', 'paused', 'failed')),
  status_reason text,
  cursor bigint not null default 0,
  rows_written bigint not null default 0,
  attempts integer not null default 0,
  next_attempt_at timestamptz not null,
  failing_since timestamptz,
  last_error text,
  last_synced_at timestamptz,
  created_at timestamptz not null,
  primary key (partner, name)
);
comment on table integrator.host_database is 'Tables of a partner''s own databases that take its insights; the address is sealed with its data key.';
comment on column integrator.host_database.shown_address is 'The address without its password, for people.';
comment on column integrator.host_database.layout is 'Table, columns, key, filters, and what becomes of withdrawn insights.';
comment on column integrator.host_database.revision is 'Grows when it is saved anew: what was opened before is not gone on with.';
comment on column integrator.host_database.cursor is 'The published_seq up to which the table holds everything.';

-- What is new in the order of its publication, over all use cases.
create index current_published on insights.current (partner, published_seq);

select integrator.protect('integrator.host_database');
grant select, insert, update, delete on integrator.host_database to integrator_service, integrator_batch;
