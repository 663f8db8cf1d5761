{{ config(
    materialized='whole',
    indexes=[{'columns': ['partner', 'as_of']}],
) }}

with rows_now as (

    select * from {{ ref('lead_score_training_view') }}

)

select * from rows_now
