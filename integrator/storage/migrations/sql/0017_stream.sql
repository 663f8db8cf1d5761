-- Kafka in: how far each partner's records of a partition have landed, moved in the transaction that lands them.
create table integrator.stream_offset (
  partner text not null references integrator.partner, cluster_id text not null, topic_id text not null,
  partition integer not null, last_offset bigint not null, moved_at timestamptz not null,
  primary key (partner, cluster_id, topic_id, partition)
);
comment on table integrator.stream_offset is
  'What a partition held for a partner up to last_offset has landed; a topic that was made anew has another id.';
select integrator.protect('integrator.stream_offset');
grant select, insert, update, delete on integrator.stream_offset to integrator_service, integrator_batch;

-- No tenant's: which partitions were ever begun, so that a topic that was made anew is read from its start.
create table integrator.stream_partition (
  cluster_id text not null, topic_id text not null, partition integer not null, consumer_group text not null,
  topic text not null, begun_at timestamptz not null,
  primary key (cluster_id, topic_id, partition, consumer_group)
);
grant select, insert on integrator.stream_partition to integrator_service, integrator_batch;

-- Kafka out: how far each partner's insights have been produced to a topic. `filled_to` is where they stood when the
-- topic was first met: of what is older only the current versions go out.
create table ops.stream_relay (
  partner text not null references integrator.partner, cluster_id text not null, topic_id text not null,
  filled_to bigint not null, published_seq bigint not null, relayed_at timestamptz not null,
  primary key (partner, cluster_id, topic_id)
);
select integrator.protect('ops.stream_relay');
grant select, insert, update, delete on ops.stream_relay to integrator_service, integrator_batch;

-- How far what was landed has been reacted on, whichever way it came in: what lies above is found here after a crash.
create table ops.stream_position (
  partner text primary key references integrator.partner, position xid8 not null, moved_at timestamptz not null
);
comment on table ops.stream_position is
  'Records of transactions below position have been reacted on, by the stream or, below the night''s own position, by the night.';
select integrator.protect('ops.stream_position');
grant select, insert, update, delete on ops.stream_position to integrator_service, integrator_batch;
