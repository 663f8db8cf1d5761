-- feedback
select 1;
