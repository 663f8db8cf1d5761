-- Whose row failed keeps what stands; whoever has no row at all is withdrawn, whatever failed beside it.
alter table ops.scoring add column failed_insights text[] not null default '{}';
comment on column ops.scoring.failed_insights is
  'Insights whose rows failed; fewer than failure_count where a row did not say whom it is about, and then none is withdrawn.';
