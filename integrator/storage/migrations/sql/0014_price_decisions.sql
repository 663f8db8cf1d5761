-- price_decisions
select 1;
