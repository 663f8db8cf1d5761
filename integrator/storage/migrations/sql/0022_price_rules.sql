-- A partner's own bounds of prices: never below, never above, never so much at once.
create table integrator.price_rule (
  partner text not null references integrator.partner,
  platform text not null, product text not null, tier text not null,
  floor numeric check (floor > 0), ceiling numeric check (ceiling > 0),
  max_change numeric check (max_change > 0 and max_change <= 1),
  currency text,
  set_at timestamptz not null,
  primary key (partner, platform, product, tier),
  check (tier = '' or product <> ''),
  check (floor <= ceiling),
  check (coalesce(floor, ceiling, max_change) is not null),
  check (currency is not null or coalesce(floor, ceiling) is null)
);
comment on table integrator.price_rule is
  'What a partner allows its prices to be; of several rules for a product the most specific one counts, limit by limit.';
comment on column integrator.price_rule.product is 'Empty, as platform and tier may be, for every one.';
comment on column integrator.price_rule.max_change is 'Largest change at once, as a share of the current price.';

select integrator.protect('integrator.price_rule');
grant select, insert, update, delete on integrator.price_rule to integrator_service, integrator_batch;

comment on column metrics.price_decision.bound is
  'What held the price back last: floor, cost_floor, set_floor, ceiling, set_ceiling, max_change or capacity; set_ are the partner''s own.';
