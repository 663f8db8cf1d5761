{{ config(
    materialized='whole',
    indexes=[{'columns': ['partner', 'platform', 'contact_id']}],
) }}

with rows_now as (

    select * from {{ ref('lead_score_view') }}

)

select * from rows_now
