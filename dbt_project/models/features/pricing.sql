{{ config(
    materialized='whole',
    indexes=[{'columns': ['partner', 'platform', 'product', 'tier']}],
) }}

with rows_now as (

    select * from {{ ref('pricing_view') }}

)

select * from rows_now
