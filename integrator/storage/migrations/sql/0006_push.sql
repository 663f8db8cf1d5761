-- What was answered to a push, so that the same push sent again is answered and not landed again.
create table ops.idempotency (
  partner text not null, client_id text not null, route text not null, key text not null,
  request_hash bytea not null,
  status integer not null, key_id text not null, response bytea not null,
  answered_at timestamptz not null, expires_at timestamptz not null,
  primary key (partner, client_id, route, key)
);
create index idempotency_expiry on ops.idempotency (partner, expires_at);
comment on table ops.idempotency is
  'Answers kept by Idempotency-Key, each committed with what it acknowledges; encrypted with the partner''s data key.';

select integrator.protect('ops.idempotency');
grant select, insert, update, delete on ops.idempotency to integrator_service, integrator_batch;

-- A record from a CSV file has its numbers as text, and is replayed as it was read.
alter table landing.quarantine add column strict boolean not null default true;
create index quarantine_waiting on landing.quarantine (partner, quarantine_id) where replayed_at is null;
