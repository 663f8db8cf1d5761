-- Landing keeps versions; personal fields live in the vault; what cannot be read goes to quarantine.
create table landing.event (
  version_id bigint generated always as identity primary key,
  partner text not null, platform text not null, native_id text not null,
  record_hash bytea not null,
  updated_at timestamptz, deleted_at timestamptz,
  valid_from timestamptz not null, valid_to timestamptz,
  arrived_at timestamptz not null, txid xid8 not null default pg_current_xact_id(),
  name text, starts_at timestamptz not null, ends_at timestamptz, timezone text not null, status text not null,
  venue_name text, venue_city text, venue_region text, venue_country text, venue_capacity integer,
  category text, series_id text, on_sale_at timestamptz, capacity integer, attendance integer,
  attributes jsonb not null default '{}'
);

create table landing.contact (
  version_id bigint generated always as identity primary key,
  partner text not null, platform text not null, native_id text not null,
  record_hash bytea not null,
  updated_at timestamptz, deleted_at timestamptz,
  valid_from timestamptz not null, valid_to timestamptz,
  arrived_at timestamptz not null, txid xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null, stage text, converted_at timestamptz, lost_at timestamptz,
  source text, consent_processing text, consent_pooling text, country text,
  email_hash bytea, phone_hash bytea,
  attributes jsonb not null default '{}'
);

create table landing.sale (
  version_id bigint generated always as identity primary key,
  partner text not null, platform text not null, native_id text not null,
  record_hash bytea not null,
  updated_at timestamptz, deleted_at timestamptz,
  valid_from timestamptz not null, valid_to timestamptz,
  arrived_at timestamptz not null, txid xid8 not null default pg_current_xact_id(),
  event_id text, contact_id text, product text not null, tier text, sold_at timestamptz not null,
  quantity integer not null, unit_price numeric not null, list_price numeric, unit_cost numeric,
  currency text not null, status text not null, refunded_quantity integer not null, refunded_amount numeric not null,
  channel text,
  attributes jsonb not null default '{}'
);

do $$
declare kind text;
begin
  foreach kind in array array['event', 'contact', 'sale'] loop
    execute format('create unique index %1$s_current on landing.%1$I (partner, platform, native_id) where valid_to is null', kind);
    execute format('create index %1$s_history on landing.%1$I (partner, platform, native_id, valid_from)', kind);
    execute format('create index %1$s_txid on landing.%1$I (txid)', kind);
    execute format('comment on column landing.%I.valid_from is %L', kind,
      'updated_at, else arrival; the version holds from here until valid_to (null: the current one)');
    perform integrator.protect(format('landing.%I', kind)::regclass);
  end loop;
end $$;

-- What one subject's features are computed from, and what identity matching follows.
create index sale_of_event on landing.sale (partner, platform, event_id) where event_id is not null;
create index sale_of_contact on landing.sale (partner, platform, contact_id) where contact_id is not null;
create index sale_of_product on landing.sale (partner, platform, product);
create index contact_email on landing.contact (partner, email_hash) where valid_to is null and email_hash is not null;
create index contact_phone on landing.contact (partner, phone_hash) where valid_to is null and phone_hash is not null;

create table landing.quarantine (
  quarantine_id bigint generated always as identity primary key,
  partner text not null, platform text not null, kind text not null, native_id text,
  field text, reason text not null,
  key_id text not null, payload bytea not null, payload_hash bytea not null,
  quarantined_at timestamptz not null, replayed_at timestamptz,
  unique (partner, platform, kind, payload_hash)
);
comment on table landing.quarantine is 'Records that could not land; the payload is encrypted with the partner''s data key.';

create table vault.personal (
  partner text not null, platform text not null, kind text not null, native_id text not null,
  key_id text not null, ciphertext bytea not null, updated_at timestamptz not null,
  primary key (partner, platform, kind, native_id)
);
comment on table vault.personal is 'Personal fields and suspicious attributes of a record, encrypted with the partner''s data key.';

create table landing.attribute_policy (
  partner text not null, platform text not null, kind text not null, attribute text not null,
  decision text not null check (decision in ('open', 'vault')), reason text not null,
  decided_at timestamptz not null,
  primary key (partner, platform, kind, attribute)
);
comment on table landing.attribute_policy is 'What the detector decided about a partner''s own fields: features, or the vault.';

select integrator.protect('landing.attribute_policy');
select integrator.protect('landing.quarantine');
select integrator.protect('vault.personal');
grant select, insert, update, delete on all tables in schema landing, vault to integrator_service, integrator_batch;
grant usage on all sequences in schema landing to integrator_service, integrator_batch;
-- So that whoever loads much can refresh the planner's statistics: without them the first night takes minutes.
grant maintain on landing.event, landing.contact, landing.sale to integrator_service, integrator_batch;
