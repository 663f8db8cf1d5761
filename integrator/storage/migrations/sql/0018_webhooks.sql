-- Webhooks as a product: what an endpoint wants, its former secrets, how it is doing; messages that can be sent again;
-- the log of attempts as a list; and the schema of the queue, whose tables are procrastinate's own.
alter table integrator.webhook_endpoint
  add column statuses text[] not null default '{}',
  add column subject_kinds text[] not null default '{}',
  add column subject_prefix text,
  add column minimum_change double precision check (minimum_change > 0),
  add column max_per_second double precision check (max_per_second > 0),
  add column max_in_flight integer not null default 4 check (max_in_flight between 1 and 16),
  add column former_secrets bytea[] not null default '{}',
  add column former_until timestamptz[] not null default '{}',
  add column failures integer not null default 0,
  add column held_until timestamptz,
  add column is_slow boolean not null default false;
comment on column integrator.webhook_endpoint.minimum_change is
  'Share of the last value sent by which the value must differ; null sends every version.';
comment on column integrator.webhook_endpoint.former_secrets is 'Secrets that still sign beside the current one, each until its moment.';
comment on column integrator.webhook_endpoint.held_until is 'Nothing is sent there before: it did not answer, or asked for a pause.';

alter table ops.outbox
  add column insight_status text,
  add column value numeric,
  add column attempts_before integer not null default 0,
  add column settled_at timestamptz,
  drop constraint outbox_status_check,
  add constraint outbox_status_check check (status in ('pending', 'delivered', 'failed', 'superseded'));
comment on column ops.outbox.attempts_before is 'Attempts made before it was last asked for again; the schedule counts from there.';
comment on column ops.outbox.settled_at is 'When it was delivered, given up or superseded.';
drop index ops.outbox_pending;
create index outbox_due on ops.outbox (partner, endpoint_id, next_attempt_at) where status = 'pending';
create index outbox_of_insight on ops.outbox (partner, endpoint_id, insight_id, insight_version);
create index outbox_created on ops.outbox (partner, endpoint_id, created_at);
create index outbox_settled on ops.outbox (partner, settled_at) where status <> 'pending';
update ops.outbox set settled_at = created_at where status <> 'pending';

alter table ops.delivery_attempt
  add column attempt_id bigint generated always as identity,
  add column endpoint_id text,
  add column response text;
update ops.delivery_attempt a set endpoint_id = o.endpoint_id from ops.outbox o where o.message_id = a.message_id;
create index delivery_attempt_list on ops.delivery_attempt (partner, endpoint_id, attempt_id);
create index delivery_attempt_at on ops.delivery_attempt (partner, at);
comment on column ops.delivery_attempt.response is 'The first 2,048 bytes of the answer, with what looks personal taken out.';

-- No tenant's data stands in the queue: a job names an endpoint to look after, the messages stay in ops.outbox. It holds
-- all partners, so no role but the service's gets at it.
create schema queue;
grant usage on schema queue to integrator_service;
