-- Connections: credentials under the partner's own key, backfills, what an account lists, its custom fields, OAuth flows.
alter table integrator.connection add column key_id text;
comment on column integrator.connection.key_id is 'The data key the credentials are sealed with; null: the master key, as before keys could be rotated.';

create table integrator.backfill (
  partner text not null,
  backfill_id text not null,
  connection_id text not null,
  kind text not null,
  since timestamptz not null,
  until timestamptz not null check (until >= since),
  cursor jsonb,
  status text not null check (status in ('waiting', 'done', 'failed')),
  reason text,
  pages integer not null default 0,
  accepted bigint not null default 0,
  unchanged bigint not null default 0,
  quarantined bigint not null default 0,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (partner, backfill_id),
  foreign key (partner, connection_id) references integrator.connection on delete cascade
);
comment on table integrator.backfill is 'Bounded stretches of the past that are pulled page by page, after what is new.';

create table integrator.listed (
  partner text not null,
  connection_id text not null,
  kind text not null,
  scope text not null,
  native_id text not null,
  primary key (partner, connection_id, kind, scope, native_id),
  foreign key (partner, connection_id) references integrator.connection on delete cascade
);
comment on table integrator.listed is 'The last whole listing of an account: what a later one lacks is gone at the platform.';

create table integrator.listing_doubt (
  partner text not null,
  connection_id text not null,
  kind text not null,
  scope text not null,
  shown bigint not null,
  before bigint not null,
  noted_at timestamptz not null,
  primary key (partner, connection_id, kind, scope),
  foreign key (partner, connection_id) references integrator.connection on delete cascade
);
comment on table integrator.listing_doubt is 'Listings that shrank by more than half: believed only when the next one says so too.';

create table integrator.field_seen (
  partner text not null,
  platform text not null,
  kind text not null,
  attribute text not null,
  type text not null check (type in ('string', 'number', 'boolean')),
  label text,
  first_seen_at timestamptz not null,
  last_seen_at timestamptz not null,
  vanished_at timestamptz,
  seen bigint not null default 0,
  of bigint not null default 0,
  primary key (partner, platform, kind, attribute)
);
comment on table integrator.field_seen is 'A partner''s own fields as its platforms show them: new, vanished and changed ones are told.';
comment on column integrator.field_seen.of is 'Records read since the field was first seen; seen of them carried it.';

create table integrator.authorization_flow (
  partner text not null references integrator.partner,
  state_hash bytea not null,
  key_id text not null,
  sealed bytea not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  primary key (partner, state_hash)
);
comment on table integrator.authorization_flow is 'Authorization-code flows under way: client, settings and PKCE verifier, sealed; each is taken once.';

select integrator.protect(t) from unnest(array['integrator.backfill', 'integrator.listed', 'integrator.listing_doubt',
  'integrator.field_seen', 'integrator.authorization_flow']::regclass[]) t;
grant select, insert, update, delete on integrator.backfill, integrator.listed, integrator.listing_doubt,
  integrator.field_seen, integrator.authorization_flow to integrator_service, integrator_batch;

-- What stands as deleted is rare: to find whether any of a page has come back must cost next to nothing.
create index event_deleted on landing.event (partner, platform) where valid_to is null and deleted_at is not null;
create index contact_deleted on landing.contact (partner, platform) where valid_to is null and deleted_at is not null;
create index sale_deleted on landing.sale (partner, platform) where valid_to is null and deleted_at is not null;
