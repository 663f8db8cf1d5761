-- From which pages a partner's widgets may ask: the only origins that widget tokens and CORS know.
create table integrator.widget_origin (
  partner text not null references integrator.partner,
  origin text not null check (origin ~ '^https?://[^/?#\s]+$'),
  created_at timestamptz not null,
  primary key (partner, origin)
);
comment on table integrator.widget_origin is 'Origins (scheme, host, port) of pages that show a partner''s insights, as browsers send them.';

select integrator.protect('integrator.widget_origin');
-- A preflight names an origin and no partner: where the realtime API has set none it reads all of them, else its own.
create policy preflight on integrator.widget_origin for select to integrator_service
  using (coalesce(current_setting('integrator.partner', true), '') = '');
grant select, insert, delete on integrator.widget_origin to integrator_service, integrator_batch;
