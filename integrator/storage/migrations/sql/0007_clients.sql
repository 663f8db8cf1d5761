-- How a client proves who it is, what a rotation leaves in force for a while, and which assertions were used already.
alter table integrator.client
  alter column secret_hash drop not null,
  alter column secret_prefix drop not null,
  add column method text not null default 'client_secret'
    check (method in ('client_secret', 'api_key', 'private_key_jwt', 'tls_client_auth')),
  add column public jsonb,
  add column previous_hash bytea,
  add column previous_public jsonb,
  add column previous_until timestamptz,
  add check (case when method in ('client_secret', 'api_key') then secret_hash is not null else public is not null end);
comment on column integrator.client.public is 'What proves the client and is no secret: a JWKS, or the name of its certificate.';
comment on column integrator.client.previous_until is 'Until when the secret, key or certificate before the last rotation is good too.';

create table integrator.client_assertion (
  partner text not null references integrator.partner,
  client_id text not null references integrator.client,
  jti text not null,
  expires_at timestamptz not null,
  primary key (client_id, jti)
);
comment on table integrator.client_assertion is 'Assertions of private_key_jwt that were taken, until they expire: none is good twice.';

select integrator.protect('integrator.client_assertion');
grant select, insert, update, delete on integrator.client_assertion to integrator_service, integrator_batch;
