-- Dropped files: what was found, by its mark (size and time, or the store's etag) and its content, and what became of it.
create table ops.dropped_file (
  file_id bigint generated always as identity primary key,
  partner text not null,
  path text not null,
  mark text not null,
  mapping_mark text not null default '',
  content_hash bytea,
  kind text check (kind in ('event', 'contact', 'sale')),
  status text not null check (status in ('landing', 'landed', 'broken')),
  reason text,
  batches bigint not null default 0,
  accepted bigint not null default 0,
  unchanged bigint not null default 0,
  quarantined bigint not null default 0,
  errors jsonb not null default '[]',
  attempts integer not null default 0,
  is_reported boolean not null default false,
  found_at timestamptz not null,
  finished_at timestamptz
);
create index dropped_file_path on ops.dropped_file (partner, path, file_id desc);
comment on table ops.dropped_file is 'One row for each content of a dropped file; the newest of a path is what is known of the file there.';
comment on column ops.dropped_file.path is 'Below the drop, the partner''s folder first.';
comment on column ops.dropped_file.batches is 'How many batches are committed: where a landing that was broken off goes on.';

select integrator.protect('ops.dropped_file');
grant select, insert, update, delete on ops.dropped_file to integrator_service, integrator_batch;
grant usage on all sequences in schema ops to integrator_service, integrator_batch;
