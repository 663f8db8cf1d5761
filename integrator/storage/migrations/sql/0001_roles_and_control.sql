-- Schemas, the three service roles, the group of partner roles, and the control tables.
do $$
declare name text;
begin
  foreach name in array array['integrator_service', 'integrator_batch', 'integrator_analyst'] loop
    if not exists (select from pg_roles where rolname = name) then
      execute format('create role %I login', name);
    end if;
  end loop;
  if not exists (select from pg_roles where rolname = 'integrator_partner') then
    create role integrator_partner nologin;
  end if;
end $$;

create schema integrator;
create schema landing;
create schema vault;
create schema reference;
create schema staging;
create schema harmonized;
create schema features;
create schema insights;
create schema ops;
create schema metrics;

grant usage on schema integrator, landing, vault, reference, insights, ops, metrics to integrator_service, integrator_batch;
grant usage on schema staging, harmonized, features to integrator_service, integrator_analyst;
grant usage, create on schema staging, harmonized, features to integrator_batch;
grant usage on schema insights, metrics to integrator_analyst;
grant usage on schema insights to integrator_partner;

-- Row-level security in one place: tables of the library and tables that dbt rebuilds call the same function.
-- The caller must own the table. Forced on the owner too, so the owner itself sees no tenant's row.
create function integrator.protect(target regclass) returns void language plpgsql as $$
declare policy record;
begin
  execute format('alter table %s enable row level security', target);
  execute format('alter table %s force row level security', target);
  for policy in select polname from pg_policy where polrelid = target loop
    execute format('drop policy %I on %s', policy.polname, target);
  end loop;
  execute format($p$create policy service on %s to integrator_service
    using (partner = current_setting('integrator.partner', true))
    with check (partner = current_setting('integrator.partner', true))$p$, target);
  execute format('create policy batch on %s to integrator_batch using (true) with check (true)', target);
  execute format('create policy analyst on %s for select to integrator_analyst using (true)', target);
  -- current_user alone decides; the bare column keeps the index on partner usable.
  execute format($p$create policy partner_login on %s for select to integrator_partner
    using (partner = substr(current_user::text, 9) and current_user::text like 'partner\_%%')$p$, target);
end $$;

create table integrator.partner (
  partner text primary key check (partner ~ '^[a-z][a-z0-9_]{1,39}$' and partner <> 'pooled'),
  timezone text not null,
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  region text not null,
  default_processing text not null check (default_processing in ('granted', 'denied')),
  pooling boolean not null,
  created_at timestamptz not null
);
comment on table integrator.partner is 'The registry of tenants. Not a tenant''s data: services read it whole to know who exists.';

create table integrator.connection (
  partner text not null references integrator.partner,
  connection_id text not null,
  platform text not null,
  settings jsonb not null default '{}',
  credentials bytea not null,
  allowed_attributes text[] not null default '{}',
  status text not null check (status in ('active', 'paused', 'failed')),
  status_reason text,
  created_at timestamptz not null,
  last_synced_at timestamptz,
  primary key (partner, connection_id)
);

create table integrator.cursor (
  partner text not null,
  connection_id text not null,
  kind text not null,
  cursor jsonb not null,
  updated_at timestamptz not null,
  primary key (partner, connection_id, kind),
  foreign key (partner, connection_id) references integrator.connection on delete cascade
);

create table integrator.data_key (
  partner text not null references integrator.partner,
  key_id text not null,
  wrapped bytea,
  created_at timestamptz not null,
  dropped_at timestamptz,
  primary key (partner, key_id)
);
comment on table integrator.data_key is 'A partner''s own encryption keys, wrapped by the master key. Dropping one shreds what it protects.';

create table integrator.client (
  client_id text primary key,
  partner text not null references integrator.partner,
  secret_hash bytea not null,
  secret_prefix text not null,
  scopes text[] not null,
  created_at timestamptz not null,
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz
);

create table integrator.signing_key (
  kid text primary key,
  wrapped bytea not null,
  public_jwk jsonb not null,
  created_at timestamptz not null,
  retired_at timestamptz
);

create table integrator.webhook_endpoint (
  partner text not null references integrator.partner,
  endpoint_id text not null,
  url text not null,
  secret bytea not null,
  event_types text[] not null default '{insight.updated,insight.withdrawn}',
  use_cases text[] not null default '{}',
  status text not null default 'active' check (status in ('active', 'disabled')),
  status_reason text,
  failing_since timestamptz,
  created_at timestamptz not null,
  primary key (partner, endpoint_id)
);
comment on column integrator.webhook_endpoint.use_cases is 'Which use cases it wants; empty means all.';

create table integrator.tombstone (
  partner text not null,
  identity_hash bytea not null,
  erased_at timestamptz not null,
  primary key (partner, identity_hash)
);
comment on table integrator.tombstone is 'Keyed hashes of native ids, e-mail addresses and phone numbers that were erased and must not come back.';

create table integrator.audit_log (
  audit_id bigint generated always as identity primary key,
  at timestamptz not null,
  actor text not null,
  partner text,
  action text not null,
  subject text,
  data jsonb not null default '{}'
);

select integrator.protect(t) from unnest(array['integrator.connection', 'integrator.cursor', 'integrator.data_key',
  'integrator.webhook_endpoint', 'integrator.tombstone', 'integrator.audit_log']::regclass[]) t;
-- The authorization server must find a client before it knows the partner: it reads all, and writes only its own.
select integrator.protect('integrator.client');
create policy authenticate on integrator.client for select to integrator_service using (true);

grant select, insert, update, delete on all tables in schema integrator to integrator_service, integrator_batch;
revoke insert, update, delete on integrator.partner from integrator_service, integrator_batch;
revoke update, delete on integrator.audit_log from integrator_service, integrator_batch;
grant usage on all sequences in schema integrator to integrator_service, integrator_batch;

-- Dagster's and MLflow's own tables live beside ours; both belong to the night.
create schema dagster;
create schema mlflow;
grant usage, create on schema dagster, mlflow to integrator_batch;
