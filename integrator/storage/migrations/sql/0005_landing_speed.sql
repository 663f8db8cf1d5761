-- What an insert into landing costs is its indexes: fewer of them, and the column that tells most comes first, so that a
-- comparison is mostly one of three. Who looks a key up names all three columns, so their order is free.
do $$
declare kind text;
begin
  foreach kind in array array['event', 'contact', 'sale'] loop
    -- version_id is never looked up; the identity keeps it unique.
    execute format('alter table landing.%1$I drop constraint %1$s_pkey', kind);
    execute format('drop index landing.%s_current', kind);
    execute format('create unique index %1$s_current on landing.%1$I (native_id, partner, platform) where valid_to is null', kind);
  end loop;
end $$;

-- Of sales nobody reads the versions of one key but landing itself, and that apart for current and past ones.
drop index landing.sale_history;
create index sale_history on landing.sale (native_id, partner, platform, valid_from) where valid_to is not null;

drop index landing.sale_of_event, landing.sale_of_contact, landing.sale_of_product;
create index sale_of_event on landing.sale (event_id, partner, platform) where event_id is not null;
create index sale_of_contact on landing.sale (contact_id, partner, platform) where contact_id is not null;
create index sale_of_product on landing.sale (product, partner, platform);
