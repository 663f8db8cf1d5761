-- model_lifecycle
select 1;
