-- pooling
select 1;
