-- lead_scores
select 1;
